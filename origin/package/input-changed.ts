/** The encoder went on with another format than it began with; the message says which, for the broadcaster. */
export class InputChanged extends Error {
  override name = "InputChanged";
}
