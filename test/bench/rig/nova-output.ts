import { BoxSplitter } from "../../../origin/package/boxes.ts";
import { parseInit } from "../../../origin/package/init.ts";
import { FrameFinder } from "./last-frame.ts";
import { fetchBytes } from "./poll.ts";
import type { Recording } from "./recording.ts";
import type { Output } from "./watch.ts";

/** The video of a stream's first broadcast and first epoch, at `site` (`http://HOST:PORT`). */
export function novaOutput(site: string, streamId: string, recording: Recording): Output {
  const media = `${site}/media/${streamId}/1/source`;
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
      const playlist = await fetchBytes(`${site}/hls/${streamId}/source/index.m3u8`);
      const isListed = playlist?.toString().includes(`/1-${msn}.m4s\n`) === true;
      return isListed ? withInit(await fetchBytes(`${media}/1-${msn}.m4s`)) : null;
    },
    part: async (msn, part) => withInit(await fetchBytes(`${media}/1-${msn}.${part}.m4s`)),
    lastFrame: (bytes, expected) => {
      if (timescale === null) throw new Error("the init segment was not there with the first media");
      return finder.lastOfFragments(bytes, timescale, expected);
    },
  };
}

function readTimescale(init: Buffer | null): number | null {
  const moov = init === null ? undefined : new BoxSplitter().push(init).find((box) => box.type === "moov");
  return moov === undefined ? null : parseInit(moov.bytes).timescale;
}
