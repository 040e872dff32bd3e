import { encodeAttributes } from "./attributes.ts";

/** An audio rendition that the variants share. */
export interface AudioRendition {
  name: string;
  uri: string;
  channels: number;
}

/** One choice of quality. */
export interface Variant {
  uri: string;
  /** Bits per second: peak and average, audio included (PL14). */
  bandwidth: number;
  averageBandwidth: number;
  codecs: string[];
  resolution: { width: number; height: number } | null;
  frameRate: number | null;
}

/** A multivariant playlist as a value. */
export interface MultivariantPlaylist {
  /** Every segment begins with an IDR (PL4). */
  independentSegments: boolean;
  audio: AudioRendition | null;
  variants: Variant[];
}

const AUDIO_GROUP = { quoted: "audio" };

/** The text of a multivariant playlist, rfc8216bis §4.4.6. */
export function encodeMultivariantPlaylist(playlist: MultivariantPlaylist): string {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:8"];
  if (playlist.independentSegments) lines.push("#EXT-X-INDEPENDENT-SEGMENTS");
  const { audio } = playlist;
  if (audio !== null) {
    const attributes = encodeAttributes({
      TYPE: "AUDIO",
      "GROUP-ID": AUDIO_GROUP,
      NAME: { quoted: audio.name },
      DEFAULT: "YES",
      AUTOSELECT: "YES",
      CHANNELS: { quoted: String(audio.channels) },
      URI: { quoted: audio.uri },
    });
    lines.push(`#EXT-X-MEDIA:${attributes}`);
  }
  for (const variant of playlist.variants) {
    const attributes = encodeAttributes({
      BANDWIDTH: Math.ceil(variant.bandwidth),
      "AVERAGE-BANDWIDTH": Math.ceil(variant.averageBandwidth),
      CODECS: { quoted: variant.codecs.join(",") },
      RESOLUTION: variant.resolution === null ? undefined : `${variant.resolution.width}x${variant.resolution.height}`,
      "FRAME-RATE": variant.frameRate === null ? undefined : variant.frameRate.toFixed(3),
      AUDIO: audio === null ? undefined : AUDIO_GROUP,
    });
    lines.push(`#EXT-X-STREAM-INF:${attributes}`, variant.uri);
  }
  return `${lines.join("\n")}\n`;
}
