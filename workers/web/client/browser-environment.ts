import type { SocketEnvironment, SocketLike } from "./socket-environment.ts";

interface Listenable {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

/** The globals that browsers have; others have some of them. */
interface BrowserGlobals extends Partial<Listenable> {
  performance: { now(): number };
  setTimeout(run: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  WebSocket: new (url: string) => SocketLike;
  document?: Listenable & { visibilityState: string };
}

/** The environment of a page; it does where there is no page, too. */
export function browserEnvironment(): SocketEnvironment {
  const browser = globalThis as unknown as BrowserGlobals;
  const isHidden = () => browser.document?.visibilityState === "hidden";
  return {
    now: () => browser.performance.now(),
    setTimeout: (run, delayMs) => browser.setTimeout(run, delayMs),
    clearTimeout: (timer) => browser.clearTimeout(timer),
    random: Math.random,
    WebSocket: browser.WebSocket,
    isHidden,
    onWake(wake) {
      const seen = () => {
        if (!isHidden()) wake();
      };
      browser.addEventListener?.("online", wake);
      browser.document?.addEventListener("visibilitychange", seen);
      return () => {
        browser.removeEventListener?.("online", wake);
        browser.document?.removeEventListener("visibilitychange", seen);
      };
    },
  };
}
