import { BitWriter } from "./bit-writer.ts";

/** The pictures of a synthetic H.264 stream. */
export interface AvcFormat {
  /** Pixels, even. */
  width: number;
  height: number;
  /** Frames per second. */
  fps: number;
  /** How many B-frames lie between two frames that others refer to. */
  bFrames: number;
}

/** What a coded picture is. `frameNumber` and `displayIndex` count from the last IDR. */
export interface AvcPicture {
  kind: "idr" | "p" | "b";
  /** `frame_num`. */
  frameNumber: number;
  /** Its place in the order of showing. */
  displayIndex: number;
  /** Tells IDRs that follow each other apart. */
  idrId: number;
  /** Brightness (16–235) of the first macroblock, and of a whole IDR. */
  luma: number;
}

const BASELINE = 66;
const MAIN = 77;
const FRAME_NUMBER_BITS = 16;
const DISPLAY_BITS = 16;
const CHROMA = 128;
/** `I_16x16` predicted from its neighbours' mean, with nothing added, as CAVLC writes it: mb_type 3, chroma mode 0, no change of QP, no coefficients. */
const FLAT_MACROBLOCK = { bits: 8, code: 0b0010_0_111 };
/** The same beside or below `I_PCM`, which counts as full of coefficients: the code for none is another one. */
const FLAT_BESIDE_PCM = { bits: 13, code: 0b0010_0_11_000011 };
/** `mb_type` of `I_PCM` in slices of each kind. */
const PCM_TYPE = { idr: 25, p: 30, b: 48 };
const SLICE_TYPE = { idr: 7, p: 5, b: 6 };
/** Table A-1: `level_idc`, macroblocks of a frame, macroblocks a second. */
const LEVELS: [number, number, number][] = [
  [10, 99, 1_485],
  [20, 396, 11_880],
  [30, 1_620, 40_500],
  [31, 3_600, 108_000],
  [32, 5_120, 216_000],
  [40, 8_192, 245_760],
  [42, 8_704, 522_240],
  [51, 36_864, 983_040],
  [52, 36_864, 2_073_600],
  [62, 139_264, 16_711_680],
];

function macroblocks({ width, height }: AvcFormat): { across: number; down: number } {
  return { across: Math.ceil(width / 16), down: Math.ceil(height / 16) };
}

/** The bytes of a NAL unit without any length: header, and a payload in which no start code can be seen (§7.4.1.1). */
export function encodeNal(refIdc: number, type: number, payload: Buffer): Buffer {
  const bytes: number[] = [(refIdc << 5) | type];
  let zeros = 0;
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      bytes.push(3);
      zeros = 0;
    }
    bytes.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Buffer.from(bytes);
}

/** The AVCDecoderConfigurationRecord: NAL units have lengths of 4 bytes. */
export function encodeAvcConfig(format: AvcFormat): Buffer {
  const sps = encodeNal(3, 7, encodeSps(format));
  const pps = encodeNal(3, 8, encodePps());
  const length = (nal: Buffer) => Buffer.from([nal.length >> 8, nal.length & 0xff]);
  return Buffer.concat([
    Buffer.from([1]),
    sps.subarray(1, 4),
    Buffer.from([0xff, 0xe1]),
    length(sps),
    sps,
    Buffer.from([1]),
    length(pps),
    pps,
  ]);
}

function encodeSps(format: AvcFormat): Buffer {
  const { across, down } = macroblocks(format);
  const count = across * down;
  const level = LEVELS.find(([, frame, second]) => count <= frame && count * format.fps <= second)?.[0];
  if (level === undefined) throw new Error(`no level of H.264 has ${format.width}x${format.height} at ${format.fps} frames per second`);
  const hasB = format.bFrames > 0;
  const ticks = Number.isInteger(format.fps)
    ? { units: 1, scale: 2 * format.fps }
    : { units: 1001, scale: 2 * Math.round(format.fps * 1001) };
  const crop = { right: (across * 16 - format.width) / 2, bottom: (down * 16 - format.height) / 2 };
  const isCropped = crop.right + crop.bottom > 0;
  const sps = new BitWriter()
    .bits(8, hasB ? MAIN : BASELINE)
    .bits(8, hasB ? 0b0100_0000 : 0b1100_0000)
    .bits(8, level)
    .ue(0)
    .ue(FRAME_NUMBER_BITS - 4)
    .ue(0) // pic_order_cnt_type
    .ue(DISPLAY_BITS - 4)
    .ue(hasB ? 2 : 1) // max_num_ref_frames
    .flag(false)
    .ue(across - 1)
    .ue(down - 1)
    .flag(true) // frame_mbs_only_flag
    .flag(true) // direct_8x8_inference_flag
    .flag(isCropped);
  if (isCropped) sps.ue(0).ue(crop.right).ue(0).ue(crop.bottom);
  // The VUI says two things: the frame rate, and how many frames wait for others.
  sps.flag(true).bits(4, 0).flag(true).bits(32, ticks.units).bits(32, ticks.scale).flag(true).bits(3, 0);
  return sps
    .flag(true)
    .flag(true)
    .ue(0)
    .ue(0)
    .ue(16)
    .ue(16)
    .ue(hasB ? 1 : 0)
    .ue(hasB ? 2 : 1)
    .trailed();
}

/** CAVLC, one slice group, and a deblocking filter that slices may switch off. */
function encodePps(): Buffer {
  return new BitWriter().ue(0).ue(0).bits(2, 0).ue(0).ue(0).ue(0).bits(3, 0).se(0).se(0).se(0).flag(true).bits(2, 0).trailed();
}

/** The one slice of a picture, as a NAL unit. An IDR is of one colour; in the others only the first macroblock is their own. */
export function encodePicture(format: AvcFormat, picture: AvcPicture): Buffer {
  const { across, down } = macroblocks(format);
  const { kind } = picture;
  const slice = new BitWriter().ue(0).ue(SLICE_TYPE[kind]).ue(0).bits(FRAME_NUMBER_BITS, picture.frameNumber);
  if (kind === "idr") slice.ue(picture.idrId);
  slice.bits(DISPLAY_BITS, 2 * picture.displayIndex);
  if (kind === "b") slice.flag(true);
  if (kind !== "idr") slice.flag(false).flag(false);
  if (kind === "b") slice.flag(false);
  if (kind === "idr") slice.bits(2, 0);
  if (kind === "p") slice.flag(false);
  slice.se(0).ue(1); // QP as the PPS has it, no deblocking

  if (kind !== "idr") slice.ue(0);
  slice.ue(PCM_TYPE[kind]).alignedBytes(pcm(picture.luma));
  if (kind !== "idr" && across * down > 1) slice.ue(across * down - 1);
  if (kind === "idr") {
    for (let index = 1; index < across * down; index++) {
      const { bits, code } = index === 1 || index === across ? FLAT_BESIDE_PCM : FLAT_MACROBLOCK;
      slice.bits(bits, code);
    }
  }
  return encodeNal(kind === "b" ? 0 : kind === "p" ? 2 : 3, kind === "idr" ? 5 : 1, slice.trailed());
}

function pcm(luma: number): Buffer {
  return Buffer.concat([Buffer.alloc(256, luma), Buffer.alloc(128, CHROMA)]);
}
