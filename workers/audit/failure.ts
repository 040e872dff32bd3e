/** Logs what could not be done and will be tried again, as one line. `facts` hold no secrets; an error's own text names no values. */
export function logFailure(event: string, error: unknown, facts: Record<string, unknown> = {}): void {
  // A query's own error names its parameters; its cause names only what went wrong.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  console.error(JSON.stringify({ event, ...facts, error: text }));
}
