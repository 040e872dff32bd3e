import { setTimeout as sleep } from "node:timers/promises";
import { answerParent } from "./client-process.ts";
import { monotonicMs } from "./monotonic.ts";
import { emptyTally, type Tally, Viewer } from "./viewer.ts";

/** Who is to watch what. */
export interface AudienceQuestion {
  site: string;
  /** Path of the multivariant playlist. */
  multivariant: string;
  viewers: number;
  /** They join at random moments of this time, and all leave `watchMs` after it. */
  joinMs: number;
  watchMs: number;
}

/** What they did while they joined, and from then on. */
export interface AudienceAnswer {
  joining: Tally;
  watching: Tally;
  /** How long the two took. */
  joiningSeconds: number;
  watchingSeconds: number;
}

answerParent(async ({ site, multivariant, viewers, joinMs, watchMs }: AudienceQuestion): Promise<AudienceAnswer> => {
  const tally = emptyTally();
  const started = monotonicMs();
  // The first is there from the first moment.
  const joins = Array.from({ length: viewers }, (_, index) => (index === 0 ? 0 : Math.random() * joinMs)).sort((a, b) => a - b);
  const audience: Viewer[] = [];
  for (const joinsAt of joins) {
    await sleep(Math.max(0, started + joinsAt - monotonicMs()));
    const viewer = new Viewer(site, tally);
    audience.push(viewer);
    void viewer.watch(multivariant);
  }
  await sleep(Math.max(0, started + joinMs - monotonicMs()));
  const joining = { ...tally };
  const joined = monotonicMs();
  Object.assign(tally, emptyTally());
  await sleep(watchMs);
  const watching = { ...tally };
  const ended = monotonicMs();
  for (const viewer of audience) viewer.leave();
  return { joining, watching, joiningSeconds: (joined - started) / 1000, watchingSeconds: (ended - joined) / 1000 };
});
