import { healthOf } from "../../../domain/broadcast/health.ts";
import { type Bitrates, estimateEgress } from "../../../domain/metrics/egress.ts";
import { onlyKnown, type PlaybackTally } from "../../../domain/metrics/quality-tally.ts";
import type { Sample, UnixSecond } from "../../../domain/metrics/sample.ts";
import type { Viewers } from "../../../domain/protocol/events.ts";
import type { Heartbeat } from "../../../domain/protocol/origin-link.ts";
import { measureBitrate } from "../../../domain/timeline/bitrate.ts";
import type { MediaWindow } from "../media-window.ts";

/** So many segments say what a rendition's bitrate is now. */
const MEASURED_SEGMENTS = 10;

/** Over how many seconds the origin measures bitrate and frame rate. */
const SETTLED_AFTER: UnixSecond = 5;

/** Who watches, and what their players have said so far. */
export interface AudienceFigures {
  viewers: Viewers;
  tally: PlaybackTally;
}

/**
 * Makes a second's sample of a heartbeat: what counts up is told as the difference to the heartbeat before. In memory only: after an eviction the first
 * heartbeat is what the next is compared with, as how much of its numbers was counted before is not known.
 */
export class Sampler {
  #before: { epoch: number; heartbeat: Heartbeat } | null = null;
  /** The first second of the connection; 0 where it was in a life before. */
  #connectedAt: UnixSecond = 0;
  #tally: PlaybackTally | null = null;
  /** A broadcast has begun in this life: its counts begin at 0. */
  #isFresh = false;
  #joins = 0;
  #errors = 0;

  /** A broadcast begins, and these viewers are there already. */
  begin({ viewers, tally }: AudienceFigures): void {
    this.#before = null;
    this.#tally = tally;
    this.#isFresh = true;
    this.#joins = viewers.sockets;
    this.#errors = 0;
  }

  /** Something went wrong that no heartbeat tells of: it is in the next sample. */
  noteError(): void {
    this.#errors += 1;
  }

  /** Takes a heartbeat. `media` is null before the encoder's tracks are known. */
  take(at: UnixSecond, epoch: number, heartbeat: Heartbeat, audience: AudienceFigures, media: MediaWindow | null): Sample {
    const { viewers, tally } = audience;
    const before = this.#comparedWith(epoch, heartbeat);
    if (before === null) this.#connectedAt = at;
    const warnings = heartbeat.warnings.filter((warning) => !before?.warnings.includes(warning));
    const tracks = media?.tracks.tracks ?? [];
    const renditions = onlyKnown(tally.renditions, media?.renditions ?? []);
    const sample: Sample = {
      at,
      viewers: viewers.sockets,
      pull: viewers.pull,
      joins: this.#joins + since(tally.joins, this.#tally?.joins),
      ingressKbps: heartbeat.bitrate_kbps,
      egressKbps: estimateEgress(viewers.sockets + viewers.pull, renditions, bitratesOf(media, heartbeat.bitrate_kbps)),
      fps: heartbeat.fps,
      dropped: since(heartbeat.dropped_frames, before?.dropped_frames ?? 0),
      keyframeInterval: heartbeat.keyframe_interval,
      speed: heartbeat.speed,
      stalls: since(tally.stalls, this.#tally?.stalls),
      errors: this.#errors + warnings.length,
      health: healthOf(heartbeat, { before, hasVideo: media === null || tracks.some(({ kind }) => kind === "video") }).health,
      settled: at - this.#connectedAt >= SETTLED_AFTER,
      renditions,
    };
    this.#before = { epoch, heartbeat };
    this.#tally = tally;
    this.#isFresh = false;
    this.#joins = 0;
    this.#errors = 0;
    return sample;
  }

  /** Null where the heartbeat's counts began at 0: it is the first of a connection. */
  #comparedWith(epoch: number, heartbeat: Heartbeat): Heartbeat | null {
    if (this.#before !== null) return this.#before.epoch === epoch ? this.#before.heartbeat : null;
    return this.#isFresh ? null : heartbeat;
  }
}

function since(count: number, before = count): number {
  return Math.max(0, count - before);
}

/** Of the segments that viewers fetch now; the encoder's own bitrate until there are any. */
function bitratesOf(media: MediaWindow | null, ingressKbps: number): Bitrates {
  const rates: Bitrates = { video: {}, audio: 0 };
  for (const { kind, name } of media?.tracks.tracks ?? []) {
    const segments = media?.timeline.listed(name).slice(-MEASURED_SEGMENTS) ?? [];
    const kbps = segments.length === 0 ? null : measureBitrate(segments, 0).average / 1000;
    if (kind === "video") rates.video[name] = kbps ?? ingressKbps;
    else rates.audio = Math.max(rates.audio, kbps ?? 0);
  }
  return rates;
}
