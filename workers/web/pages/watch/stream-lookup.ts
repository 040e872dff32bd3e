const TIMEOUT_MS = 5_000;

/** Whether the socket of a stream leads anywhere; a browser does not say why one did not open. True where nothing answers. */
export async function streamExists(id: string): Promise<boolean> {
  try {
    const answer = await fetch(`/api/v1/streams/${id}/ws`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return answer.status !== 404;
  } catch {
    return true;
  }
}
