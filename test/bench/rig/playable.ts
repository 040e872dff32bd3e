import { spawn } from "node:child_process";
import { samplesOf } from "./last-frame.ts";
import { fetchMediaPlaylist } from "./media-playlist.ts";
import { fetchBytes } from "./poll.ts";
import type { Recording } from "./recording.ts";

const AVC_TAG_HEADER = 5;

/** Why the newest whole segment of a rendition's playlist is not what was published; null where it is. `url` of the media playlist. */
export async function findFault(url: string, recording: Recording, kind: "video" | "audio"): Promise<string | null> {
  const playlist = await fetchMediaPlaylist(url);
  const newest = playlist?.segments.at(-1);
  if (newest === undefined) return "no segment is listed";
  if (newest.isGap) return "the newest segment is a gap";
  const bytes = await fetchBytes(newest.url);
  if (bytes === null) return "the newest segment is listed, and cannot be fetched";
  const samples = samplesOf(bytes);
  const [first] = samples;
  if (first === undefined) return "the newest segment has no frame";
  if (
    samples.some(
      ({ dts, duration }, index) =>
        index > 0 && dts !== (samples[index - 1]?.dts ?? 0) + (samples[index - 1]?.duration ?? 0) && duration > 0,
    )
  ) {
    return "frames of the newest segment do not follow one another";
  }
  if (kind === "audio") return null;
  if (!first.key) return "the newest segment does not begin with a key frame";
  const { frames } = recording;
  const start = frames.findIndex(({ data }) => data.subarray(AVC_TAG_HEADER).equals(first.data));
  if (start === -1) return "the newest segment begins with a frame that was not published";
  const wrong = samples.findIndex(
    ({ data }, index) => frames[(start + index) % frames.length]?.data.subarray(AVC_TAG_HEADER).equals(data) !== true,
  );
  return wrong === -1 ? null : `frame ${wrong} of the newest segment is not the one that was published`;
}

/** What FFmpeg has to say against init and newest segment of a playlist; null where it decodes them without a word. */
export async function decodeNewest(url: string): Promise<string | null> {
  const playlist = await fetchMediaPlaylist(url);
  const newest = playlist?.segments.at(-1);
  const media = newest === undefined ? null : await fetchBytes(newest.url);
  // A transport stream needs none.
  const init = playlist?.initUrl == null ? Buffer.alloc(0) : await fetchBytes(playlist.initUrl);
  if (init === null || media === null) return "init or segment cannot be fetched";
  const child = spawn("ffmpeg", ["-v", "warning", "-nostdin", "-xerror", "-i", "pipe:0", "-f", "null", "-"], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => {
    words += chunk.toString();
  });
  child.stdin.on("error", () => undefined);
  child.stdin.end(Buffer.concat([init, media]));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return code === 0 && words === "" ? null : `FFmpeg: ${words.trim() || `exit code ${code}`}`;
}
