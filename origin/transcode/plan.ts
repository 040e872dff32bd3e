import { MAX_RUNG_FRAME_RATE, PROFILES, type Profile, type ProfileName, type Rung, type VideoCodec } from "../../domain/profiles.ts";

/** What an encoder sends, as far as it is known; null where it does not say. */
export interface PlanInput {
  /** `bitrate` in bits per second, `keyInterval` in seconds. */
  video: {
    codec: VideoCodec;
    width: number;
    height: number;
    frameRate: number | null;
    bitrate: number | null;
    keyInterval: number | null;
  } | null;
  /** `objectType` as in an AudioSpecificConfig; `bitrate` in bits per second. */
  audio: { codec: "AAC" | "MP3"; sampleRate: number; channels: number; objectType: number | null; bitrate: number | null } | null;
}

/** One rendition that has to be encoded. */
export interface PlannedRung {
  name: string;
  /** Pixels, both even. */
  width: number;
  height: number;
  /** Bits per second: what is aimed at, and what no second may exceed. */
  bitrate: number;
  maxBitrate: number;
  /** Frames per second, where the input has more than a rung may have. */
  frameRate: number | null;
}

/** What is made of an input. */
export interface Plan {
  /** Name under which the encoder's own pictures go out; null where they do not. */
  copy: string | null;
  /** The highest first. */
  rungs: PlannedRung[];
  /** Where rungs have their key frames: where the encoder has its own, or each 2 s. */
  keyFrames: "source" | "forced";
  audio: "copy" | "transcode" | null;
}

/** Rates are measured and announced with a little error. */
const FRAME_RATE_TOLERANCE = 0.5;
const BITRATE_TOLERANCE = 1.1;
/** Above it, viewers would wait for a key frame where the profile promises one each 2 s. */
const LONGEST_COPIED_KEY_INTERVAL = 2.1;
/** A picture that is smaller than the lowest rung gets at least this. */
const LEAST_BITRATE = 200_000;
const LEAST_SIDE = 16;
const USUAL_ASPECT = 16 / 9;
/** AAC kinds that browsers decode: LC, HE, HE v2. */
const PLAYABLE_AAC = [2, 5, 29];
const MAX_LADDER_CHANNELS = 2;

/** Decides which renditions an input becomes, or refuses it in words for the broadcaster. `without` names rungs that the machine cannot afford. */
export function planRenditions(
  name: ProfileName,
  input: PlanInput,
  options: { maxPixels: number; without?: readonly string[] },
): Plan | { refusal: string } {
  const profile = PROFILES[name];
  const { video, audio } = input;
  if (video === null && audio === null) return { refusal: "the encoder sends neither video nor audio" };
  const planned = { audio: audio === null ? null : planAudio(profile, audio) };
  if (video === null) return { copy: null, rungs: [], keyFrames: "source", ...planned };
  const refusal = refuse(name, profile, video, options.maxPixels);
  if (refusal !== null) return { refusal };

  const fitting = profile.rungs.filter((rung) => rung.height <= shortSide(video));
  const [top] = fitting;
  const likeTop = top !== undefined && canStandIn(video, top);
  const copy = profile.source ? "source" : likeTop ? top.name : null;
  // The encoder's own pictures, where they are within a rung's bounds, are that rung.
  const encoded = likeTop ? fitting.slice(1) : fitting;
  const rungs = encoded.map((rung) => planRung(rung, video));
  const lowest = profile.rungs.at(-1);
  if (copy === null && rungs.length === 0 && lowest !== undefined) rungs.push(planSmallRung(lowest, video));
  const afforded = rungs.filter((rung) => options.without?.includes(rung.name) !== true);
  return {
    copy,
    rungs: copy === null && afforded.length === 0 ? rungs.slice(-1) : afforded,
    keyFrames: copy === null ? "forced" : "source",
    ...planned,
  };
}

type Video = NonNullable<PlanInput["video"]>;
type Audio = NonNullable<PlanInput["audio"]>;

function refuse(name: ProfileName, profile: Profile, video: Video, maxPixels: number): string | null {
  const { codec, width, height } = video;
  if (!profile.videoCodecs.includes(codec)) {
    const other = name === "passthrough" ? ", or the stream's profile to passthrough_any" : "";
    return `${codec} video is not supported by this stream's profile (${name}): set the encoder to ${profile.videoCodecs.join(" or ")}${other}`;
  }
  if (width * height > maxPixels) {
    return `the picture of ${width}×${height} is larger than the ${maxPixels} pixels that are taken here: set the encoder to a smaller output resolution`;
  }
  if (profile.rungs.length > 0 && Math.min(width, height) < LEAST_SIDE) {
    return `the picture of ${width}×${height} is too small to be encoded: set the encoder to a larger output resolution`;
  }
  return null;
}

/** A portrait picture is as high as it is wide: 1080×1920 is 1080p. */
function shortSide(video: Video): number {
  return Math.min(video.width, video.height);
}

function canStandIn(video: Video, rung: Rung): boolean {
  const { codec, bitrate, frameRate, keyInterval } = video;
  return (
    codec === "H.264" &&
    shortSide(video) === rung.height &&
    bitrate !== null &&
    bitrate <= rung.maxBitrate &&
    frameRate !== null &&
    frameRate <= MAX_RUNG_FRAME_RATE + FRAME_RATE_TOLERANCE &&
    keyInterval !== null &&
    keyInterval <= LONGEST_COPIED_KEY_INTERVAL
  );
}

function planRung(rung: Rung, video: Video): PlannedRung {
  const scale = rung.height / shortSide(video);
  return {
    name: rung.name,
    width: even(video.width * scale),
    height: even(video.height * scale),
    bitrate: rung.bitrate,
    maxBitrate: rung.maxBitrate,
    frameRate: loweredFrameRate(video),
  };
}

/** An input below every rung keeps its size, for nothing is scaled up, and gets its share of the lowest rung's bitrate. */
function planSmallRung(lowest: Rung, video: Video): PlannedRung {
  const width = evenBelow(video.width);
  const height = evenBelow(video.height);
  const share = Math.min(1, (width * height) / (lowest.height * lowest.height * USUAL_ASPECT));
  const bitrate = Math.max(LEAST_BITRATE, Math.round(lowest.bitrate * share));
  const maxBitrate = Math.round((bitrate * lowest.maxBitrate) / lowest.bitrate);
  return { name: lowest.name, width, height, bitrate, maxBitrate, frameRate: loweredFrameRate(video) };
}

function loweredFrameRate({ frameRate }: Video): number | null {
  return frameRate !== null && frameRate > MAX_RUNG_FRAME_RATE + FRAME_RATE_TOLERANCE ? MAX_RUNG_FRAME_RATE : null;
}

/** The nearest even number, for 4:2:0 pictures have no other sizes. */
function even(pixels: number): number {
  return Math.max(2, Math.round(pixels / 2) * 2);
}

function evenBelow(pixels: number): number {
  return Math.floor(pixels / 2) * 2;
}

function planAudio(profile: Profile, audio: Audio): "copy" | "transcode" {
  if (audio.codec !== "AAC" || !PLAYABLE_AAC.includes(audio.objectType ?? 2)) return "transcode";
  if (profile.audioBitrate === null) return "copy";
  const within = audio.bitrate !== null && audio.bitrate <= profile.audioBitrate * BITRATE_TOLERANCE;
  return within && audio.channels <= MAX_LADDER_CHANNELS ? "copy" : "transcode";
}
