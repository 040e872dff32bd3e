import type { ClientTarget } from "./audience-client.ts";
import { ClientProcess } from "./client-process.ts";
import type { ClientsQuestion, DeliveriesAnswer, JoinAnswer, LeaveAnswer, TallyAnswer } from "./clients-process.ts";
import type { MarkedEvent } from "./event-ledger.ts";
import type { Cleanup } from "./figure.ts";
import { monotonicMs } from "./monotonic.ts";

/** A process may open 20,000 files in places, and one thread reads for all of its clients. */
const CLIENTS_PER_PROCESS = 4_500;
/** Clients of a process that are connecting at a time. */
const WIDTH = 64;
const DELIVERY_TIMEOUT_MS = 10_000;

/** Viewers with a socket each, spread evenly over processes of their own. */
export class Crowd {
  readonly #processes: { client: ClientProcess; count: number }[];
  #size: number;

  private constructor(processes: { client: ClientProcess; count: number }[], size: number) {
    this.#processes = processes;
    this.#size = size;
  }

  /** Prepares the processes; nobody is connected. */
  static prepare(size: number, cleanup: Cleanup): Crowd {
    const processes = Math.ceil(size / CLIENTS_PER_PROCESS);
    const script = new URL("./clients-process.ts", import.meta.url);
    const counts = Array.from({ length: processes }, (_, index) => Math.floor((size + index) / processes));
    return new Crowd(
      counts.map((count) => ({ client: new ClientProcess(script, cleanup), count })),
      size,
    );
  }

  get size(): number {
    return this.#size;
  }

  /** Connects everybody; `targets` are taken in turn by the processes. Resolves with how long that took, s. Rejects where one does not get in. */
  async join(...targets: ClientTarget[]): Promise<number> {
    // Processes that have answered once are warm: what is measured is not their start.
    await this.#ask(() => ({ kind: "tally", marked: [] }));
    const started = monotonicMs();
    const answers = await this.#ask<JoinAnswer>((index, count) => {
      const target = targets[index % targets.length];
      if (target === undefined) throw new Error("there is nowhere to connect to");
      return { kind: "join", target, name: `bench${index}`, count, width: WIDTH };
    });
    return (latest(answers.flatMap(({ at }) => at)) - started) / 1000;
  }

  /** Has a marked message sent. Resolves with how long it took to each client that got it within 10 s, s, and with what `send` gives. */
  async deliver<Sent>(mark: number, send: () => Promise<Sent>): Promise<{ delays: number[]; sent: Sent }> {
    const waiting = this.#ask<DeliveriesAnswer>(() => ({ kind: "deliveries", mark, timeoutMs: DELIVERY_TIMEOUT_MS }));
    const sentAt = monotonicMs();
    const [answers, sent] = await Promise.all([waiting, send()]);
    return { delays: answers.flatMap(({ at }) => at).map((at) => (at - sentAt) / 1000), sent };
  }

  /** Waits until everybody is in again. Resolves with when those were who are, s after a moment of `monotonicMs()`. */
  async back(since: number, timeoutMs: number): Promise<number[]> {
    const answers = await this.#ask<JoinAnswer>(() => ({ kind: "back", since, timeoutMs }));
    return answers.flatMap(({ at }) => at).map((at) => (at - since) / 1000);
  }

  /** Lets some leave, closing their sockets as the protocol has it. Resolves with of how many the server did not answer that within 3 s. */
  async leave(count: number): Promise<number> {
    const share = (index: number) => Math.floor((count + index) / this.#processes.length);
    const answers = await this.#ask<LeaveAnswer>((index) => ({ kind: "leave", count: share(index) }));
    this.#size -= count;
    return answers.reduce((sum, { unanswered }) => sum + unanswered, 0);
  }

  /** What was missed of these messages, and of the numbers. */
  async tally(marked: MarkedEvent[]): Promise<TallyAnswer> {
    const answers = await this.#ask<TallyAnswer>(() => ({ kind: "tally", marked }));
    const sum = (pick: (answer: TallyAnswer) => number) => answers.reduce((total, answer) => total + pick(answer), 0);
    return {
      clients: sum(({ clients }) => clients),
      missing: sum(({ missing }) => missing),
      holes: sum(({ holes }) => holes),
      repeats: sum(({ repeats }) => repeats),
      told: sum(({ told }) => told),
      lostSockets: sum(({ lostSockets }) => lostSockets),
      firstLoss: answers.find(({ firstLoss }) => firstLoss !== null)?.firstLoss ?? null,
    };
  }

  #ask<Reply>(question: (index: number, count: number) => ClientsQuestion): Promise<Reply[]> {
    return Promise.all(this.#processes.map(({ client, count }, index) => client.ask<Reply>(question(index, count))));
  }
}

/** The greatest of many numbers. */
export function latest(moments: readonly number[]): number {
  return moments.reduce((found, moment) => Math.max(found, moment), Number.NEGATIVE_INFINITY);
}
