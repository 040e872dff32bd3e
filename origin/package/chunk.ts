import { encodeBox } from "./boxes.ts";
import type { Sample } from "./sample.ts";

const SYNC = 0x02000000;
const NON_SYNC = 0x01010000;

const TFHD_DEFAULT_BASE_IS_MOOF = 0x020000;
const TRUN_OFFSET_DURATION_SIZE_FLAGS_COMPOSITION = 0x000f01;

/** One CMAF chunk: a `moof` and its `mdat` with the samples as they stand, decode times without a gap from the first one's (CM1). */
export function encodeChunk(chunk: { trackId: number; sequenceNumber: number; samples: readonly Sample[] }): Buffer {
  const { samples } = chunk;
  const [first] = samples;
  if (first === undefined) throw new Error("a chunk needs a sample");

  const mfhd = Buffer.alloc(8);
  mfhd.writeUInt32BE(chunk.sequenceNumber, 4);
  const tfhd = Buffer.alloc(8);
  tfhd.writeUInt32BE(TFHD_DEFAULT_BASE_IS_MOOF, 0);
  tfhd.writeUInt32BE(chunk.trackId, 4);
  const tfdt = Buffer.alloc(12);
  tfdt.writeUInt8(1, 0);
  tfdt.writeBigUInt64BE(BigInt(first.dts), 4);
  const trun = Buffer.alloc(12 + samples.length * 16);
  trun.writeUInt32BE(TRUN_OFFSET_DURATION_SIZE_FLAGS_COMPOSITION, 0);
  if (samples.some((sample) => sample.compositionOffset < 0)) trun.writeUInt8(1, 0);
  trun.writeUInt32BE(samples.length, 4);
  samples.forEach((sample, index) => {
    const at = 12 + index * 16;
    trun.writeUInt32BE(sample.duration, at);
    trun.writeUInt32BE(sample.data.byteLength, at + 4);
    trun.writeUInt32BE(sample.key ? SYNC : NON_SYNC, at + 8);
    trun.writeInt32BE(sample.compositionOffset, at + 12);
  });

  const moof = encodeBox(
    "moof",
    encodeBox("mfhd", mfhd),
    encodeBox("traf", encodeBox("tfhd", tfhd), encodeBox("tfdt", tfdt), encodeBox("trun", trun)),
  );
  // The run is the moof's last box, so its data offset stands at a fixed distance from the end.
  moof.writeInt32BE(moof.length + 8, moof.length - trun.length + 8);
  return Buffer.concat([moof, encodeBox("mdat", ...samples.map((sample) => sample.data))]);
}
