import { Receiver } from "../../domain/webhooks/receiver.ts";

/** How many are known at once: some hundred bytes each. */
const MAX_KNOWN = 10_000;

/** What this isolate knows of the receivers of webhooks. It need not outlive the isolate: the next one finds out with an attempt or two. */
export class Receivers {
  readonly #known = new Map<string, Receiver>();

  /** The receiver of a webhook. */
  of(webhookId: string): Receiver {
    const receiver = this.#known.get(webhookId) ?? new Receiver();
    // The last ones asked for stay the longest.
    this.#known.delete(webhookId);
    this.#known.set(webhookId, receiver);
    if (this.#known.size > MAX_KNOWN) this.#forgetOne();
    return receiver;
  }

  #forgetOne(): void {
    for (const [id, receiver] of this.#known) {
      if (receiver.isIdle) return void this.#known.delete(id);
    }
  }
}
