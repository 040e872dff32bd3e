import { type AttributeSchema, parseAttributes } from "./attribute-list.ts";

/** A multivariant playlist as its text says it; addresses are absolute. */
export interface MultivariantText {
  independentSegments: boolean;
  media: { uri: string; group: string }[];
  variants: {
    uri: string;
    bandwidth: number;
    averageBandwidth: number;
    codecs: string[];
    resolution: string | null;
    frameRate: number | null;
    audio: string | null;
  }[];
}

const MEDIA: AttributeSchema = {
  ...{ TYPE: "word!", "GROUP-ID": "quoted!", NAME: "quoted!", DEFAULT: "yesno", AUTOSELECT: "yesno" },
  ...{ LANGUAGE: "quoted", CHANNELS: "quoted", URI: "quoted!" },
};
const VARIANT: AttributeSchema = {
  ...{ BANDWIDTH: "integer!", "AVERAGE-BANDWIDTH": "integer!", CODECS: "quoted!", RESOLUTION: "resolution" },
  ...{ "FRAME-RATE": "decimal", AUDIO: "quoted" },
};

/** Reads a multivariant playlist the strict way: anything unknown throws. */
export function parseMultivariantText(text: string, address: string): MultivariantText {
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.shift() !== "#EXTM3U") throw new Error("does not begin with #EXTM3U, or the last line has no end");
  const playlist: MultivariantText = { independentSegments: false, media: [], variants: [] };
  let variant: Map<string, string> | null = null;
  for (const line of lines) {
    if (variant !== null) {
      if (line === "" || line.startsWith("#")) throw new Error("EXT-X-STREAM-INF without an address");
      playlist.variants.push(variantOf(variant, new URL(line, address).href));
      variant = null;
    } else if (line.startsWith("#EXT-X-MEDIA:")) {
      const values = parseAttributes(line.slice("#EXT-X-MEDIA:".length), MEDIA);
      playlist.media.push({ uri: new URL(values.get("URI") ?? "", address).href, group: values.get("GROUP-ID") ?? "" });
    } else if (line.startsWith("#EXT-X-STREAM-INF:")) variant = parseAttributes(line.slice("#EXT-X-STREAM-INF:".length), VARIANT);
    else if (line === "#EXT-X-INDEPENDENT-SEGMENTS") playlist.independentSegments = true;
    else if (!/^#EXT-X-VERSION:\d+$/.test(line)) throw new Error(`unknown line "${line}"`);
  }
  return playlist;
}

function variantOf(values: Map<string, string>, uri: string): MultivariantText["variants"][number] {
  return {
    uri,
    bandwidth: Number(values.get("BANDWIDTH")),
    averageBandwidth: Number(values.get("AVERAGE-BANDWIDTH")),
    codecs: (values.get("CODECS") ?? "").split(","),
    resolution: values.get("RESOLUTION") ?? null,
    frameRate: values.has("FRAME-RATE") ? Number(values.get("FRAME-RATE")) : null,
    audio: values.get("AUDIO") ?? null,
  };
}
