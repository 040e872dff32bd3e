/** An encoder said what the ingest does not allow; the connection ends. The message is fit for a log: it repeats nothing of the input. */
export class ProtocolViolation extends Error {}
