/** What the schema of ISO/IEC 23009-1 demands of the elements that our manifests have: attributes, those that must be there, children in order. */
interface ElementRule {
  attributes: Record<string, RegExp>;
  required: string[];
  /** In the order they must come in; `+`: at least one. */
  children: string[];
}

interface XmlElement {
  name: string;
  attributes: Record<string, string>;
  children: XmlElement[];
}

const TEXT = /^[^<]*$/s;
const UNSIGNED = /^\d+$/;
const DECIMAL = /^-?\d+(\.\d+)?$/;
const DURATION = /^PT\d+(\.\d+)?S$/;
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const FRAME_RATE = /^\d+(\/[1-9]\d*)?$/;
const NO_SPACE = /^\S*$/;

const RULES: Record<string, ElementRule> = {
  MPD: {
    attributes: {
      xmlns: /^urn:mpeg:dash:schema:mpd:2011$/,
      profiles: /^[^\s,]+(,[^\s,]+)*$/,
      type: /^(static|dynamic)$/,
      availabilityStartTime: DATE_TIME,
      publishTime: DATE_TIME,
      minimumUpdatePeriod: DURATION,
      timeShiftBufferDepth: DURATION,
      suggestedPresentationDelay: DURATION,
      mediaPresentationDuration: DURATION,
      minBufferTime: DURATION,
      maxSegmentDuration: DURATION,
    },
    required: ["xmlns", "profiles", "minBufferTime"],
    children: ["ServiceDescription", "Period+", "UTCTiming"],
  },
  ServiceDescription: { attributes: { id: UNSIGNED }, required: [], children: ["Latency", "PlaybackRate"] },
  Latency: { attributes: { target: UNSIGNED, min: UNSIGNED, max: UNSIGNED }, required: [], children: [] },
  PlaybackRate: { attributes: { min: DECIMAL, max: DECIMAL }, required: [], children: [] },
  Period: { attributes: { id: TEXT, start: DURATION, duration: DURATION }, required: [], children: ["AdaptationSet"] },
  AdaptationSet: {
    attributes: {
      id: UNSIGNED,
      contentType: /^(video|audio)$/,
      mimeType: TEXT,
      lang: /^[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*$/,
      segmentAlignment: /^(true|false|\d+)$/,
      startWithSAP: /^[0-6]$/,
    },
    required: [],
    children: ["Representation"],
  },
  Representation: {
    attributes: {
      id: NO_SPACE,
      codecs: /^[\w.,-]+$/,
      bandwidth: UNSIGNED,
      width: UNSIGNED,
      height: UNSIGNED,
      frameRate: FRAME_RATE,
      audioSamplingRate: UNSIGNED,
    },
    required: ["id", "bandwidth"],
    children: ["AudioChannelConfiguration", "SegmentTemplate"],
  },
  AudioChannelConfiguration: { attributes: { schemeIdUri: TEXT, value: TEXT }, required: ["schemeIdUri"], children: [] },
  SegmentTemplate: {
    attributes: {
      timescale: UNSIGNED,
      presentationTimeOffset: UNSIGNED,
      media: TEXT,
      initialization: TEXT,
      startNumber: UNSIGNED,
      availabilityTimeOffset: DECIMAL,
      availabilityTimeComplete: /^(true|false)$/,
    },
    required: [],
    children: ["SegmentTimeline"],
  },
  SegmentTimeline: { attributes: {}, required: [], children: ["S"] },
  S: { attributes: { t: UNSIGNED, d: UNSIGNED, r: /^-?\d+$/ }, required: ["d"], children: [] },
  UTCTiming: { attributes: { schemeIdUri: TEXT, value: TEXT }, required: ["schemeIdUri"], children: [] },
};

/** Attributes that live manifests must have, and those that they alone may have (§5.3.1.2). */
const LIVE_REQUIRED = ["availabilityStartTime", "publishTime", "minimumUpdatePeriod"];

/** What is wrong with a manifest, in words; nothing where it is valid. Throws where the text is no XML of the kind that we write. */
export function findSchemaFaults(text: string): string[] {
  const root = parseXml(text);
  const faults = root.name === "MPD" ? [] : [`the root is ${root.name}`];
  if (root.attributes.type === "dynamic")
    faults.push(...LIVE_REQUIRED.filter((name) => root.attributes[name] === undefined).map((name) => `MPD has no ${name}`));
  else if (root.attributes.mediaPresentationDuration === undefined) faults.push("MPD has no mediaPresentationDuration");
  return [...faults, ...checkElement(root)];
}

function checkElement({ name, attributes, children }: XmlElement): string[] {
  const rule = RULES[name];
  if (rule === undefined) return [`${name} is unknown`];
  const faults = rule.required.filter((key) => attributes[key] === undefined).map((key) => `${name} has no ${key}`);
  for (const [key, value] of Object.entries(attributes)) {
    if (rule.attributes[key]?.test(value) !== true) faults.push(`${name} has ${key}="${value}"`);
  }
  const order = rule.children.map((child) => child.replace("+", ""));
  const places = children.map((child) => order.indexOf(child.name));
  if (places.includes(-1) || places.some((place, index) => place < (places[index - 1] ?? 0))) {
    faults.push(`${name} holds ${children.map((child) => child.name).join(", ")}`);
  }
  for (const child of rule.children.filter((one) => one.endsWith("+"))) {
    if (!children.some((one) => `${one.name}+` === child)) faults.push(`${name} has no ${child}`);
  }
  return [...faults, ...children.flatMap(checkElement)];
}

/** Elements and attributes of a text without character data. */
export function parseXml(text: string): XmlElement {
  const top: XmlElement = { name: "", attributes: {}, children: [] };
  const open = [top];
  const rest = text
    .replace(/^<\?xml version="1\.0" encoding="UTF-8"\?>/, "")
    .replace(/<(\/?)([A-Za-z]\w*)((?: [A-Za-z]\w*="[^"<]*")*)(\/?)>/g, (_, closing, name, written, empty) => {
      const parent = open.at(-1);
      if (parent === undefined) throw new Error(`${name} stands outside`);
      if (closing !== "") {
        if (parent.name !== name) throw new Error(`${name} closes ${parent.name}`);
        open.pop();
        return "";
      }
      const pairs = [...(written as string).matchAll(/ (\w+)="([^"]*)"/g)].map(
        ([, key, value]) => [key as string, value as string] as const,
      );
      if (new Set(pairs.map(([key]) => key)).size < pairs.length) throw new Error(`${name} has an attribute twice`);
      const element = { name, attributes: Object.fromEntries(pairs), children: [] };
      parent.children.push(element);
      if (empty === "") open.push(element);
      return "";
    });
  const [root] = top.children;
  if (root === undefined || top.children.length > 1 || open.length > 1 || rest.trim() !== "") throw new Error("no well-formed XML");
  return root;
}
