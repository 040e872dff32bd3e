import type { ClientTarget } from "./audience-client.ts";
import { ClientProcess } from "./client-process.ts";
import type { ClientsQuestion, DeliveriesAnswer, JoinAnswer, LeaveAnswer, TallyAnswer } from "./clients-process.ts";
import type { MarkedEvent } from "./event-ledger.ts";
import type { Cleanup } from "./figure.ts";
import type { CrowdTarget } from "./hub.ts";
import { monotonicMs } from "./monotonic.ts";

/** A process may open 20,000 files in places, and one thread reads for all of its clients. */
const CLIENTS_PER_PROCESS = 4_500;
/** Clients of a process that are connecting at a time. */
const WIDTH = 64;
const DELIVERY_TIMEOUT_MS = 10_000;

/** A process, and the clients that it is to have. */
interface Member {
  process: ClientProcess;
  target: ClientTarget;
  count: number;
  name: string;
}

/** Viewers with a socket each, spread evenly over processes of their own. */
export class Crowd {
  readonly #groups: Member[][];

  /** Starts the processes; nobody is connected. */
  constructor(targets: CrowdTarget[], cleanup: Cleanup) {
    const script = new URL("./clients-process.ts", import.meta.url);
    this.#groups = targets.map(({ target, size }, group) => {
      const processes = Math.ceil(size / CLIENTS_PER_PROCESS);
      const member = (_: unknown, index: number): Member => ({
        process: new ClientProcess(script, cleanup),
        target,
        count: Math.floor((size + index) / processes),
        name: `bench${group}-${index}`,
      });
      return Array.from({ length: processes }, member);
    });
  }

  /** Connects everybody, one target after another. Resolves with how long that took, s. Rejects where one does not get in. */
  async join(): Promise<number> {
    // Processes that have answered once are warm: what is measured is not their start.
    await this.tally([]);
    let seconds = 0;
    for (const group of this.#groups) {
      const started = monotonicMs();
      const answers = await ask<JoinAnswer>(group, ({ target, name, count }) => ({ kind: "join", target, name, count, width: WIDTH }));
      seconds += (latest(answers.flatMap(({ at }) => at)) - started) / 1000;
    }
    return seconds;
  }

  /** Has a marked message sent. Resolves with how long it took to each client that got it within 10 s, s, and with what `send` gives. */
  async deliver<Sent>(mark: number, send: () => Promise<Sent>): Promise<{ delays: number[]; sent: Sent }> {
    const waiting = ask<DeliveriesAnswer>(this.#groups.flat(), () => ({ kind: "deliveries", mark, timeoutMs: DELIVERY_TIMEOUT_MS }));
    const sentAt = monotonicMs();
    const [answers, sent] = await Promise.all([waiting, send()]);
    return { delays: answers.flatMap(({ at }) => at).map((at) => (at - sentAt) / 1000), sent };
  }

  /** Waits until everybody is in again. Resolves with when those were who are, s after a moment of `monotonicMs()`. */
  async back(since: number, timeoutMs: number): Promise<number[]> {
    const answers = await ask<JoinAnswer>(this.#groups.flat(), () => ({ kind: "back", since, timeoutMs }));
    return answers.flatMap(({ at }) => at).map((at) => (at - since) / 1000);
  }

  /** Lets some leave, closing their sockets as the protocol has it. Resolves with of how many the server did not answer that within 3 s. */
  async leave(count: number): Promise<number> {
    const members = this.#groups.flat();
    const answers = await ask<LeaveAnswer>(members, (_, index) => ({ kind: "leave", count: Math.floor((count + index) / members.length) }));
    return answers.reduce((sum, { unanswered }) => sum + unanswered, 0);
  }

  /** What was missed of these messages, and of the numbers. */
  async tally(marked: MarkedEvent[]): Promise<TallyAnswer> {
    const answers = await ask<TallyAnswer>(this.#groups.flat(), () => ({ kind: "tally", marked }));
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
}

function ask<Reply>(members: Member[], question: (member: Member, index: number) => ClientsQuestion): Promise<Reply[]> {
  return Promise.all(members.map((member, index) => member.process.ask<Reply>(question(member, index))));
}

/** The greatest of many numbers. */
export function latest(moments: readonly number[]): number {
  return moments.reduce((found, moment) => Math.max(found, moment), Number.NEGATIVE_INFINITY);
}
