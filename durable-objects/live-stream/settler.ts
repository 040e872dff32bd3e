import type { Millis } from "../../domain/time.ts";
import type { MediaWindows } from "./media-windows.ts";
import { RetriedTask } from "./retried-task.ts";

/** After so many failures of R2 the open segments of an ended epoch are given up as gaps. */
const ATTEMPTS = 5;

/** Settles what ended epochs left open: once at a time, and again while R2 fails. */
export function createSettler(windows: MediaWindows, bucket: R2Bucket): RetriedTask {
  return new RetriedTask("settle", {
    dueAt: () => (windows.all.some((media) => media.hasRemnants) ? 0 : null),
    run: async (_now: Millis, failures: number) => {
      for (const media of windows.all) while (media.hasRemnants) await media.settle(bucket, failures >= ATTEMPTS);
    },
  });
}
