/** A stream's socket. */
export interface StreamAddress {
  /** `https://host` of the deployment. */
  edge: string;
  stream: string;
  /** 8 to 64 of `A-Z a-z 0-9 _ -`; one for each page or app that watches, kept while it is open. */
  viewer: string;
  /** A playback token, where the stream is signed. */
  token?: string | null;
}

/** The address that a `StreamSocket` connects to. Throws a TypeError where `edge` is no address. */
export function streamSocketUrl({ edge, stream, viewer, token = null }: StreamAddress): string {
  const url = new URL(`/api/v1/streams/${encodeURIComponent(stream)}/ws`, edge);
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  url.searchParams.set("viewer", viewer);
  if (token !== null) url.searchParams.set("token", token);
  return url.href;
}

/** A viewer id that nobody else has. */
export function makeViewerId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
