import { type AvcFormat, type AvcPicture, encodeNal, encodePicture } from "./avc-picture.ts";

/** One coded frame, in the order of decoding. */
export interface AvcFrame {
  key: boolean;
  /** Its number in the order of showing, over the whole programme. */
  shownAs: number;
  /** NAL units, each with its length in 4 bytes before it. */
  data: Buffer;
}

const USER_DATA = 5;
const PADDING_UUID = Buffer.from("6e6f766165646765746573742d706164", "hex");
/** The least that a padding SEI adds: length, header, payload type, payload size, UUID, end. */
const LEAST_PADDING = 4 + 1 + 1 + 1 + 16 + 1;

/** Brightness of a frame's first macroblock: tells frames near each other apart. */
export function lumaOf(shownAs: number): number {
  return 40 + ((shownAs * 7) % 180);
}

/**
 * Frames of a programme: groups of `gopFrames`, each an IDR and what refers to it. Frames are padded so that the sum of all up to each of them comes to
 * `bytesPerFrame` for each; 0 pads nothing.
 */
export function* encodeFrames(format: AvcFormat, gopFrames: number, count: number, bytesPerFrame: number): Generator<AvcFrame> {
  let owed = 0;
  let decoded = 0;
  for (let first = 0, idrId = 0; first < count; first += gopFrames, idrId = 1 - idrId) {
    let frameNumber = 0;
    for (const { kind, displayIndex } of orderOfDecoding(Math.min(gopFrames, count - first), format.bFrames)) {
      const shownAs = first + displayIndex;
      const nal = encodePicture(format, { kind, frameNumber: frameNumber & 0xffff, displayIndex, idrId, luma: lumaOf(shownAs) });
      if (kind !== "b") frameNumber += 1;
      owed += bytesPerFrame;
      decoded += 1;
      const padding = encodePadding(owed - nal.length - 4);
      const data = Buffer.concat([padding, withLength(nal)]);
      owed -= bytesPerFrame === 0 ? 0 : data.length;
      yield { key: kind === "idr", shownAs, data };
    }
  }
  if (decoded !== count) throw new Error(`${decoded} frames were made instead of ${count}`);
}

/** The pictures of a closed group as they are decoded: an IDR, then each P before the B-frames that it follows in showing. */
function* orderOfDecoding(count: number, bFrames: number): Generator<Pick<AvcPicture, "kind" | "displayIndex">> {
  yield { kind: "idr", displayIndex: 0 };
  for (let last = 0; last < count - 1; ) {
    const next = Math.min(last + bFrames + 1, count - 1);
    yield { kind: "p", displayIndex: next };
    for (let between = last + 1; between < next; between++) yield { kind: "b", displayIndex: between };
    last = next;
  }
}

/** An SEI that says nothing, of as near as can be `bytes` bytes; empty where they are too few. */
function encodePadding(bytes: number): Buffer {
  if (bytes < LEAST_PADDING) return Buffer.alloc(0);
  const rough = bytes - LEAST_PADDING + 16;
  const size = rough - Math.floor(rough / 256);
  const sizeBytes = Buffer.concat([Buffer.alloc(Math.floor(size / 255), 255), Buffer.from([size % 255])]);
  const payload = Buffer.concat([Buffer.from([USER_DATA]), sizeBytes, PADDING_UUID, Buffer.alloc(size - 16, 0x6e), Buffer.from([0x80])]);
  return withLength(encodeNal(0, 6, payload));
}

function withLength(nal: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(nal.length);
  return Buffer.concat([length, nal]);
}
