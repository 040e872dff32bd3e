import { type Consumption, computeConsumption, type ProcessUsage } from "./process-usage.ts";

/** What the parts of an origin used between two readings of its process tree; its first process is the origin itself. */
export interface OriginUsage {
  main: Consumption;
  ingest: Consumption;
  ffmpeg: Consumption;
  all: Consumption;
}

export function computeOriginUsage(before: ProcessUsage[], after: ProcessUsage[], seconds: number): OriginUsage {
  const mainPid = after[0]?.pid;
  const of = (isOne: (process: ProcessUsage) => boolean) => computeConsumption(before, after, seconds, isOne);
  const isFfmpeg = ({ command }: ProcessUsage) => command === "ffmpeg";
  return {
    main: of(({ pid }) => pid === mainPid),
    ingest: of((process) => process.pid !== mainPid && !isFfmpeg(process)),
    ffmpeg: of(isFfmpeg),
    all: of(() => true),
  };
}
