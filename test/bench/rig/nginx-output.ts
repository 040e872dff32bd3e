import { FrameFinder } from "./last-frame.ts";
import { fetchBytes } from "./poll.ts";
import type { Recording } from "./recording.ts";
import type { Output } from "./watch.ts";

/** nginx-rtmp keeps the encoder's timestamps and adds its `NGX_RTMP_HLS_DELAY`. */
const CLOCK_ORIGIN_SECONDS = 0.7;

/** A stream of nginx-rtmp, at `site` (`http://HOST:PORT`). */
export function nginxOutput(site: string, name: string, recording: Recording): Output {
  const finder = new FrameFinder(recording, CLOCK_ORIGIN_SECONDS);
  return {
    firstSegment: 0,
    segment: async (number) => {
      const playlist = await fetchBytes(`${site}/${name}.m3u8`);
      const file = playlist === null ? null : findSegment(playlist.toString(), number);
      return file === null ? null : fetchBytes(`${site}/${file}`);
    },
    part: null,
    lastFrame: (bytes, expected) => finder.lastOfTransportStream(bytes, expected),
  };
}

/** The file of a segment; null while the playlist does not list it. */
function findSegment(playlist: string, number: number): string | null {
  const first = Number(/^#EXT-X-MEDIA-SEQUENCE:(\d+)/m.exec(playlist)?.[1] ?? 0);
  const files = playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return files[number - first] ?? null;
}
