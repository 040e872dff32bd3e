import type { Millis } from "../../domain/time.ts";
import { sweepDeliveries } from "../webhooks/deliver.ts";
import { archiveEvents } from "./archiver.ts";
import { logFailure } from "./failure.ts";
import { purge } from "./purge.ts";
import { reconcileStreams } from "./reconcile.ts";
import { relayOutbox } from "./relay.ts";

/** What the cron does each minute: takes up what a request or a consumer left undone. What fails is logged, and comes again in a minute. */
export async function runUpkeep(env: Env, now: Millis): Promise<void> {
  const jobs: [string, () => Promise<unknown>][] = [
    ["relay", () => relayOutbox(env, now)],
    ["deliveries", () => sweepDeliveries(env, now)],
    ["archive", () => archiveEvents(env, now)],
    ["purge", () => purge(env.DB, now)],
    ["reconcile", () => reconcileStreams(env, now)],
  ];
  await Promise.all(jobs.map(([job, run]) => run().catch((error) => logFailure("upkeep_failed", error, { job }))));
}
