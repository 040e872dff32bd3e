/**
 * A refusal that its caller may see: thrown where it is found, turned into an HTTP answer once, at the border.
 * `message` says what is wrong and what to do; it never contains a key or a token.
 */
export class NovaError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: unknown;

  /**
   * @param status HTTP status that the refusal maps to
   * @param code stable, machine-readable, snake_case
   */
  constructor(status: number, code: string, message: string, details?: unknown) {
    super(message);
    this.name = "NovaError";
    this.status = status;
    this.code = code;
    this.details = details;
  }
}
