import { samplesOf } from "./last-frame.ts";
import { fetchMediaPlaylist } from "./media-playlist.ts";
import { readTimescale } from "./nova-output.ts";
import { fetchBytes } from "./poll.ts";

/** How far two times may lie apart and be the same, seconds. */
const SAME_SECONDS = 1e-6;

/** What became of the segments that renditions have in common. */
export interface Alignment {
  segments: number;
  /** Those that begin with a key frame at the same presentation time in all renditions. */
  aligned: number;
  /** Those that have the same number of frames in all renditions. */
  sameFrames: number;
}

/** Collects the segments of several video renditions. Look often enough to see each before it leaves its playlist. */
export class AlignmentCheck {
  readonly #renditions: { url: string; initUrl: string | null; segments: Map<number, string> }[];

  /** Media playlists of one stream. */
  constructor(urls: string[]) {
    this.#renditions = urls.map((url) => ({ url, initUrl: null, segments: new Map() }));
  }

  async look(): Promise<void> {
    for (const rendition of this.#renditions) {
      const playlist = await fetchMediaPlaylist(rendition.url);
      rendition.initUrl ??= playlist?.initUrl ?? null;
      for (const { msn, url, isGap } of playlist?.segments ?? []) if (!isGap) rendition.segments.set(msn, url);
    }
  }

  /** Fetches and compares what all renditions have. */
  async compare(): Promise<Alignment> {
    const result: Alignment = { segments: 0, aligned: 0, sameFrames: 0 };
    const [first, ...others] = this.#renditions;
    const shared = [...(first?.segments.keys() ?? [])].filter((msn) => others.every(({ segments }) => segments.has(msn)));
    const timescales = await Promise.all(this.#renditions.map(({ initUrl }) => readTimescaleOf(initUrl)));
    for (const msn of shared) {
      const seen = await Promise.all(
        this.#renditions.map((rendition, index) => readStart(rendition.segments.get(msn) ?? "", timescales[index] ?? 1)),
      );
      const start = seen[0]?.seconds ?? Number.NaN;
      result.segments += 1;
      if (seen.every(({ key, seconds }) => key && Math.abs(seconds - start) < SAME_SECONDS)) result.aligned += 1;
      if (seen.every(({ frames }) => frames === seen[0]?.frames)) result.sameFrames += 1;
    }
    return result;
  }
}

async function readTimescaleOf(initUrl: string | null): Promise<number> {
  const timescale = initUrl === null ? null : readTimescale(await fetchBytes(initUrl));
  if (timescale === null) throw new Error("a rendition has no init segment");
  return timescale;
}

async function readStart(url: string, timescale: number): Promise<{ key: boolean; seconds: number; frames: number }> {
  const samples = samplesOf((await fetchBytes(url)) ?? Buffer.alloc(0));
  const [first] = samples;
  if (first === undefined) return { key: false, seconds: Number.NaN, frames: 0 };
  return { key: first.key, seconds: (first.dts + first.compositionOffset) / timescale, frames: samples.length };
}
