import { setTimeout as sleep } from "node:timers/promises";
import { answerParent } from "./client-process.ts";
import { HttpConnection, type Reply } from "./http-connection.ts";

/** First `hold`, then `collect` what it brought. */
export type HoldersQuestion =
  | { kind: "hold"; site: string; path: string; count: number; settleMs: number }
  /** `mark`: what each answer must contain. */
  | { kind: "collect"; mark: string };

/** How many requests are held when the server has had time to answer or to refuse each, and has answered another in between. */
export interface HoldAnswer {
  held: number;
}

/** When each answer had arrived, by `monotonicMs()`. */
export interface CollectAnswer {
  at: number[];
  /** Bytes of one answer; all are the same. */
  bytes: number;
}

const connections: HttpConnection[] = [];
let probe: HttpConnection | null = null;
let replies: Promise<Reply>[] = [];

answerParent(async (question: HoldersQuestion): Promise<HoldAnswer | CollectAnswer> => {
  if (question.kind === "hold") return hold(question);
  const answers = await Promise.all(replies);
  const [first] = answers;
  if (first === undefined) throw new Error("nobody waited");
  for (const { status, body } of answers) {
    if (status !== 200) throw new Error(`a held request was answered ${status}`);
    if (!body.equals(first.body)) throw new Error("those who waited for one part were answered with different bytes");
  }
  if (!first.body.includes(question.mark)) throw new Error(`the answer does not list ${question.mark}`);
  return { at: answers.map(({ at }) => at), bytes: first.body.length };
});

async function hold({ site, path, count, settleMs }: HoldersQuestion & { kind: "hold" }): Promise<HoldAnswer> {
  while (connections.length < count) connections.push(new HttpConnection(site));
  probe ??= new HttpConnection(site);
  replies = connections.map((connection) => connection.get(path));
  for (const reply of replies) reply.catch(() => undefined);
  await sleep(settleMs);
  // A server with one thread that answers twice after the last request was sent has read them all.
  for (let times = 0; times < 2; times++) await probe.get("/time");
  return { held: connections.filter((connection) => connection.isWaiting).length };
}
