import { AudienceClient, type ClientTarget } from "./audience-client.ts";
import { answerParent } from "./client-process.ts";
import type { MarkedEvent } from "./event-ledger.ts";

/** What the clients of a process are asked for. */
export type ClientsQuestion =
  /** `count` new clients, `width` of them connecting at a time; `name` begins their viewer ids. */
  | { kind: "join"; target: ClientTarget; name: string; count: number; width: number }
  /** Waits until a marked message is with every client that is in. */
  | { kind: "deliveries"; mark: number; timeoutMs: number }
  /** Waits until every client is in again, and has been since a moment of `monotonicMs()`. */
  | { kind: "back"; since: number; timeoutMs: number }
  /** Some leave, those who came last first. */
  | { kind: "leave"; count: number }
  /** What was lost of some messages. */
  | { kind: "tally"; marked: MarkedEvent[] };

/** When clients were in, by `monotonicMs()`. */
export interface JoinAnswer {
  at: number[];
}

/** Of how many that left the server did not answer the close. */
export interface LeaveAnswer {
  unanswered: number;
}

/** When a message was with each client. */
export interface DeliveriesAnswer {
  at: number[];
}

/** What the clients have missed and seen, all together. */
export interface TallyAnswer {
  clients: number;
  /** Messages that did not come, and that no `gap` told of; over all clients. */
  missing: number;
  holes: number;
  repeats: number;
  told: number;
  /** Sockets that ended without their client's doing, and why the first did. */
  lostSockets: number;
  firstLoss: string | null;
}

const JOIN_TIMEOUT_MS = 120_000;

const clients: AudienceClient[] = [];
const arrivals = new Map<number, number[]>();
const joinedAt = new Map<AudienceClient, number>();
let lostSockets = 0;
let firstLoss: string | null = null;
/** Looks whether what is waited for has come. */
let check: () => void = () => undefined;

answerParent((question: ClientsQuestion): Promise<unknown> => {
  switch (question.kind) {
    case "join":
      return join(question);
    case "deliveries":
      return deliveries(question);
    case "back":
      return back(question);
    case "leave":
      return leave(question.count);
    case "tally":
      return Promise.resolve(tally(question.marked));
  }
});

async function join({ target, name, count, width }: ClientsQuestion & { kind: "join" }): Promise<JoinAnswer> {
  const joined: number[] = [];
  let next = 0;
  const connectNext = () => {
    if (next === count) return;
    const client = new AudienceClient(target, `${name}-${String(next++).padStart(6, "0")}`, {
      joined: (at) => {
        const isNew = !joinedAt.has(client);
        joinedAt.set(client, at);
        if (isNew) {
          joined.push(at);
          connectNext();
        }
        check();
      },
      marked: (mark, at) => {
        const found = arrivals.get(mark);
        if (found === undefined) arrivals.set(mark, [at]);
        else found.push(at);
        check();
      },
      lost: (reason) => {
        lostSockets += 1;
        firstLoss ??= reason;
        check();
      },
    });
    clients.push(client);
    client.connect();
  };
  for (let started = 0; started < width; started++) connectNext();
  const failed = () => lostSockets > 0 && !target.comesBack;
  await until(JOIN_TIMEOUT_MS, () => joined.length === count || failed());
  if (failed()) throw new Error(`${lostSockets} of ${next} clients lost their sockets, the first because: ${firstLoss}`);
  if (joined.length < count) throw new Error(`${joined.length} of ${count} clients were in after ${JOIN_TIMEOUT_MS / 1000} s`);
  return { at: joined };
}

async function leave(count: number): Promise<LeaveAnswer> {
  const answers = await Promise.all(clients.splice(clients.length - count).map((client) => client.leave()));
  return { unanswered: answers.filter((isAnswered) => !isAnswered).length };
}

async function deliveries({ mark, timeoutMs }: ClientsQuestion & { kind: "deliveries" }): Promise<DeliveriesAnswer> {
  await until(timeoutMs, () => (arrivals.get(mark)?.length ?? 0) >= clients.length);
  return { at: arrivals.get(mark) ?? [] };
}

async function back({ since, timeoutMs }: ClientsQuestion & { kind: "back" }): Promise<JoinAnswer> {
  const moments = () => clients.filter((client) => client.isIn).map((client) => joinedAt.get(client) ?? 0);
  let lastLook = 0;
  await until(timeoutMs, () => {
    const now = performance.now();
    if (now - lastLook < 50) return false;
    lastLook = now;
    const at = moments();
    return at.length === clients.length && at.every((moment) => moment > since);
  });
  return { at: moments().filter((moment) => moment > since) };
}

function tally(marked: MarkedEvent[]): TallyAnswer {
  const sum = (count: (client: AudienceClient) => number) => clients.reduce((total, client) => total + count(client), 0);
  return {
    clients: clients.length,
    missing: sum(({ ledger }) => marked.filter((event) => !ledger.knows(event)).length),
    holes: sum(({ ledger }) => ledger.holes),
    repeats: sum(({ ledger }) => ledger.repeats),
    told: sum(({ ledger }) => ledger.told),
    lostSockets,
    firstLoss,
  };
}

/** Resolves when it is so, or after a while. */
function until(timeoutMs: number, isSo: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearInterval(timer);
      clearTimeout(deadline);
      check = () => undefined;
      resolve();
    };
    check = () => {
      if (isSo()) end();
    };
    // What is waited for may have come before anybody asked, or be a matter of time.
    const timer = setInterval(() => check(), 100);
    const deadline = setTimeout(end, timeoutMs);
  });
}
