/** As much of a WebSocket as a `StreamSocket` uses. */
export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(text: string): void;
  close(): void;
}

/** What a `StreamSocket` needs of the world around it. Times are milliseconds. */
export interface SocketEnvironment {
  /** A clock that never goes back. */
  now(): number;
  setTimeout(run: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  /** In [0, 1). */
  random(): number;
  WebSocket: new (url: string) => SocketLike;
  /** Whether nobody can see the page. */
  isHidden(): boolean;
  /** Calls when the page is seen again, or the network is back. Returns what ends that. */
  onWake(wake: () => void): () => void;
}
