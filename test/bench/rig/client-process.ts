import { type ChildProcess, fork } from "node:child_process";
import type { Cleanup } from "./figure.ts";

type Answer = { answer: unknown } | { failed: string } | { event: unknown };

/** A process for a bench's clients, so that their work is not the bench's own. It does what it is asked, one thing at a time. */
export class ClientProcess {
  readonly #child: ChildProcess;
  #waiting: PromiseWithResolvers<unknown> | null = null;

  /** `script` calls `answerParent`. `onEvent` hears what it tells unasked. */
  constructor(script: URL, cleanup: Cleanup, onEvent: (event: unknown) => void = () => undefined) {
    this.#child = fork(script, { stdio: ["ignore", 2, 2, "ipc"] });
    this.#child.on("message", (message: Answer) => {
      if ("event" in message) return onEvent(message.event);
      if ("failed" in message) this.#waiting?.reject(new Error(message.failed));
      else this.#waiting?.resolve(message.answer);
      this.#waiting = null;
    });
    for (const event of ["exit", "error"]) this.#child.once(event, () => this.#waiting?.reject(new Error("the clients' process ended")));
    cleanup.add(() => this.#child.kill("SIGKILL"));
  }

  /** What the child does with a question. Rejects where that fails, or the child ends. */
  ask<Reply>(question: unknown): Promise<Reply> {
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting = waiting;
    this.#child.send(question as object, (error) => {
      if (error !== null) waiting.reject(error);
    });
    return waiting.promise as Promise<Reply>;
  }
}

/** In the child: answers each question of the parent, and ends with it. */
export function answerParent<Question>(answer: (question: Question) => Promise<unknown>): void {
  process.on("disconnect", () => process.exit(0));
  process.on("message", (question: Question) => {
    answer(question).then(
      (found) => process.send?.({ answer: found } satisfies Answer),
      (error: unknown) => process.send?.({ failed: error instanceof Error ? error.message : String(error) } satisfies Answer),
    );
  });
}

/** In the child: tells the parent something that it did not ask for. */
export function tellParent(event: unknown): void {
  process.send?.({ event } satisfies Answer);
}
