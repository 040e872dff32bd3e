import type { StreamId } from "../../domain/stream-id.ts";
import { liveStream } from "../surface.ts";
import { PullCounter } from "./pull-counter.ts";
import { identifyPlayer } from "./visitor.ts";

/** Marks what `Media` answers for a live broadcast: whoever goes on asking for it watches. The gateway takes it off. */
export const LIVE_HEADER = "Nova-Live";

const counter = new PullCounter();

/** Counts a request for a live playlist, also one by HEAD and one that is answered with 304. Never rejects: who watches goes on watching. */
export async function countPull(env: Env, stream: StreamId, request: Request): Promise<void> {
  try {
    const report = counter.note(stream, await identifyPlayer(env, stream, request), Date.now());
    if (report !== null) await liveStream(env, stream).reportPull(report);
  } catch (error) {
    console.error(JSON.stringify({ event: "pull_report_failed", stream, error: String(error) }));
  }
}
