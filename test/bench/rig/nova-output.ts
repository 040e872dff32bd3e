import { BoxSplitter } from "../../../origin/package/boxes.ts";
import { parseInit } from "../../../origin/package/init.ts";
import { FrameFinder } from "./last-frame.ts";
import { fetchBytes } from "./poll.ts";
import type { Recording } from "./recording.ts";
import type { Output } from "./watch.ts";

const RELOAD_TIMEOUT_MS = 10_000;

/** A video rendition of a stream's first broadcast and first epoch, at `site` (`http://HOST:PORT`). All but `source` are encoded anew. */
export function novaOutput(site: string, streamId: string, recording: Recording, rendition = "source"): Output {
  const media = `${site}/media/${streamId}/1/${rendition}`;
  const finder = new FrameFinder(recording, null);
  let timescale: number | null = null;
  /** Media can be understood only with its track's timescale. */
  const withInit = async (bytes: Buffer | null): Promise<Buffer | null> => {
    if (bytes !== null) timescale ??= readTimescale(await fetchBytes(`${media}/init-1.mp4`));
    return bytes;
  };
  return {
    firstSegment: 1,
    segment: async (msn) => {
      const playlist = await reload(`${site}/hls/${streamId}/${rendition}/index.m3u8?_HLS_msn=${msn}`);
      const isListed = playlist?.includes(`/1-${msn}.m4s\n`) === true;
      return isListed ? withInit(await fetchBytes(`${media}/1-${msn}.m4s`)) : null;
    },
    part: async (msn, part) => withInit(await fetchBytes(`${media}/1-${msn}.${part}.m4s`)),
    lastFrame: (bytes, expected) => {
      if (timescale === null) throw new Error("the init segment was not there with the first media");
      if (rendition !== "source") return finder.lastShownOfFragments(bytes, timescale, expected);
      return finder.lastOfFragments(bytes, timescale, expected);
    },
  };
}

/** A playlist that is held until it lists what is asked for, as players ask; null where it still does not, or where that is too far ahead. */
async function reload(url: string): Promise<string | null> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(RELOAD_TIMEOUT_MS) });
  const text = await answer.text();
  return answer.status === 200 ? text : null;
}

/** In ticks a second; null where there is no init segment. */
export function readTimescale(init: Buffer | null): number | null {
  const moov = init === null ? undefined : new BoxSplitter().push(init).find((box) => box.type === "moov");
  return moov === undefined ? null : parseInit(moov.bytes).timescale;
}
