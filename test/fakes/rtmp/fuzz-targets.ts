import { defaultLimits } from "../../../origin/ingest/limits.ts";
import { encodeFrame, encodeJsonFrame, FrameReader, FrameType } from "../../../origin/ingest/link-frames.ts";
import { ProtocolViolation } from "../../../origin/ingest/protocol-violation.ts";
import { RtmpSession } from "../../../origin/ingest/rtmp-session.ts";
import { parseAacConfig } from "../../../origin/package/aac.ts";
import { isIdr, repairSample, videoEntry, x264KeyInterval } from "../../../origin/package/nal.ts";
import { parseVideoConfig } from "../../../origin/package/video-config.ts";
import { FlvReader } from "../../../origin/transcode/flv.ts";
import { InputProbe } from "../../../origin/transcode/input.ts";
import { parseMediaTag } from "../../../origin/transcode/media-tag.ts";
import { parseMetadata } from "../../../origin/transcode/metadata.ts";
import { parseMp3Header } from "../../../origin/transcode/mp3.ts";
import { enhancedTags } from "../media/enhanced-tags.ts";
import { encodeFlvFile } from "../media/flv-file.ts";
import { syntheticTags } from "../media/synthetic-tags.ts";
import type { FlvTag } from "./flv-tags.ts";
import type { FuzzTarget } from "./fuzz.ts";
import { encodeSession } from "./mutation.ts";

const HANDSHAKE_BYTES = 1 + 2 * 1536;
/** Small enough that a million sessions are not about allocating memory. */
const limits = { ...defaultLimits, message: 2 ** 18, payloadBuffers: 2 ** 19 };
const CODECS = ["H.264", "HEVC", "AV1"] as const;
type Codec = (typeof CODECS)[number];

/** Every parser that a stranger's bytes reach. Encodes its seeds with FFmpeg, which takes a second or two. */
export async function fuzzTargets(): Promise<FuzzTarget[]> {
  const avc = syntheticTags({ seconds: 0.3, video: { width: 64, height: 64, bFrames: 1, gop: 0.1 } });
  const video: Record<Codec, FlvTag[]> = {
    "H.264": avc.filter(({ type }) => type === 9),
    HEVC: await enhancedTags({ codec: "HEVC", seconds: 0.2, width: 64, height: 64 }),
    AV1: await enhancedTags({ codec: "AV1", seconds: 0.2, width: 64, height: 64 }),
  };
  const media = [...avc, ...video.HEVC.slice(0, 4), ...video.AV1.slice(0, 4)];
  return [
    rtmpSession(encodeSession("fuzz", [...avc.slice(0, 6), ...avc.slice(-2)])),
    frameReader(media),
    flvReader(media),
    {
      name: "media tag",
      seeds: media.map(({ data }) => data),
      execute: (data) => void [8, 9].map((type) => parseMediaTag(toTag(type, data))),
    },
    {
      name: "metadata",
      seeds: media.filter(({ type }) => type === 18).map(({ data }) => data),
      execute: (data) => void parseMetadata(data),
    },
    {
      name: "AAC configuration",
      seeds: [Buffer.from([0x11, 0x90]), Buffer.from([0x2b, 0x92, 0x08, 0x00]), Buffer.from([0x12, 0x10, 0x56, 0xe5, 0x00])],
      isRefusal,
      execute: (bytes) => void parseAacConfig(bytes),
    },
    { name: "MP3 header", seeds: [Buffer.from([0xff, 0xfb, 0x90, 0x64, 0, 0])], execute: (bytes) => void parseMp3Header(bytes) },
    probe(media),
    ...CODECS.flatMap((codec) => [videoConfig(codec, payloads(video[codec], "config")), samples(codec, payloads(video[codec], "frame"))]),
  ];
}

/** An Error of ours: not one of those that tell of a mistake in the code. */
function isRefusal(error: Error): boolean {
  return !(error instanceof TypeError || error instanceof ReferenceError || /call stack|Array buffer allocation/.test(error.message));
}

function rtmpSession(session: Buffer): FuzzTarget {
  const execute = (input: Buffer, random: () => number): void => {
    const accepts = random() < 0.8;
    const encoder = new RtmpSession(
      {
        output() {},
        publish: () => accepts && encoder.start(),
        badName: (words) => encoder.fail("NetStream.Publish.BadName", words),
        tag() {},
        unpublish() {},
      },
      limits,
    );
    const cut = Math.floor(random() * input.length);
    for (const piece of [input.subarray(0, cut), input.subarray(cut)]) if (piece.length > 0) encoder.receive(Buffer.from(piece));
  };
  return {
    name: "RTMP session",
    seeds: [session],
    from: HANDSHAKE_BYTES,
    isRefusal: (error) => error instanceof ProtocolViolation,
    execute,
  };
}

function frameReader(tags: FlvTag[]): FuzzTarget {
  const hello = encodeJsonFrame(FrameType.hello, { id: "x", stream_key: "key", remote_address: "::1", software: null });
  const frames = tags.slice(0, 8).flatMap(({ data }) => encodeFrame(FrameType.media, data));
  const execute = (input: Buffer, random: () => number): void => {
    const reader = new FrameReader(2 ** 20, () => {});
    for (const piece of split(input, random)) reader.push(piece);
  };
  return { name: "link frames", seeds: [Buffer.concat([hello, ...frames])], isRefusal: (error) => error instanceof RangeError, execute };
}

function flvReader(tags: FlvTag[]): FuzzTarget {
  const execute = (input: Buffer, random: () => number): void => {
    const reader = new FlvReader();
    for (const piece of split(input, random)) for (const tag of reader.push(piece)) parseMediaTag(tag);
  };
  return { name: "FLV", seeds: [encodeFlvFile(tags.slice(0, 8)), encodeFlvFile(tags.slice(-6))], isRefusal, execute };
}

function probe(tags: FlvTag[]): FuzzTarget {
  const execute = (data: Buffer, random: () => number): void => {
    const input = new InputProbe(random() < 0.5 ? "ladder" : "passthrough_any");
    for (const type of [18, 9, 8]) {
      const tag = toTag(type, data);
      if (input.push(tag, parseMediaTag(tag), 0).state !== "waiting") return;
    }
  };
  return { name: "input probe", seeds: tags.map(({ data }) => data), execute };
}

function videoConfig(codec: Codec, seeds: Buffer[]): FuzzTarget {
  return { name: `${codec} configuration`, seeds, isRefusal, execute: (record) => void parseVideoConfig(codec, record) };
}

function samples(codec: Codec, seeds: Buffer[]): FuzzTarget {
  const execute = (sample: Buffer, random: () => number): void => {
    const framing = { codec, lengthSize: codec === "AV1" ? 0 : 1 + Math.floor(random() * 4) };
    const repaired = repairSample(sample, framing);
    if (repaired && repaired.length > sample.length) throw new Error("a repaired sample that is longer");
    videoEntry(sample, framing);
    isIdr(sample, framing);
    if (codec === "H.264") x264KeyInterval(sample, framing.lengthSize);
  };
  return { name: `${codec} sample`, seeds, execute };
}

function payloads(tags: FlvTag[], role: "config" | "frame"): Buffer[] {
  return tags.flatMap(({ type, data }) => {
    const media = parseMediaTag(toTag(type, data));
    return media?.role === role ? [media.payload] : [];
  });
}

function toTag(type: number, data: Buffer): Parameters<typeof parseMediaTag>[0] {
  return { type: type === 8 ? "audio" : type === 9 ? "video" : "script", timestamp: 0, data, raw: data };
}

function split(input: Buffer, random: () => number): Buffer[] {
  const cut = Math.floor(random() * input.length);
  return [input.subarray(0, cut), input.subarray(cut)];
}
