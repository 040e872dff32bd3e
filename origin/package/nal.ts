const NAL_IDR = 5;
const NAL_SEI = 6;
const SEI_USER_DATA_UNREGISTERED = 5;

/** The NAL units of an AVCC sample. Ends at the first one whose length does not fit. */
function* nalUnits(sample: Uint8Array, lengthSize: number): Generator<Uint8Array> {
  let offset = 0;
  while (offset + lengthSize < sample.length) {
    let length = 0;
    for (let index = 0; index < lengthSize; index++) length = length * 256 + (sample[offset + index] ?? 0);
    offset += lengthSize;
    if (length === 0) continue;
    if (offset + length > sample.length) return;
    yield sample.subarray(offset, offset + length);
    offset += length;
  }
}

/**
 * An AVCC sample without its empty NAL units and without what follows a length that does not fit: decoders and players give up
 * on either. Null where no picture is left. The same bytes where nothing is wrong.
 */
export function repairSample(sample: Buffer, lengthSize: number): Buffer | null {
  const units: Buffer[] = [];
  let hasPicture = false;
  let kept = 0;
  for (const unit of nalUnits(sample, lengthSize)) {
    const type = (unit[0] ?? 0) & 31;
    hasPicture ||= type >= 1 && type <= NAL_IDR;
    const from = unit.byteOffset - sample.byteOffset - lengthSize;
    units.push(sample.subarray(from, from + lengthSize + unit.byteLength));
    kept += lengthSize + unit.byteLength;
  }
  if (!hasPicture) return null;
  return kept === sample.length ? sample : Buffer.concat(units, kept);
}

/** Whether an AVCC sample holds an IDR picture. A container's key frame flag alone does not prove it (PL4). */
export function isIdr(sample: Uint8Array, lengthSize: number): boolean {
  for (const unit of nalUnits(sample, lengthSize)) {
    const type = (unit[0] ?? 0) & 31;
    if (type === NAL_IDR) return true;
    // A coded slice of another kind: no IDR follows in the same picture.
    if (type >= 1 && type <= 4) return false;
  }
  return false;
}

/** The longest distance between key frames that x264 wrote into its SEI, in frames; null where no x264 spoke. */
export function x264KeyInterval(sample: Uint8Array, lengthSize: number): number | "infinite" | null {
  for (const unit of nalUnits(sample, lengthSize)) {
    if (((unit[0] ?? 0) & 31) !== NAL_SEI || unit[1] !== SEI_USER_DATA_UNREGISTERED) continue;
    const text = Buffer.from(unit.buffer, unit.byteOffset, Math.min(unit.byteLength, 4096)).toString("latin1");
    const match = text.includes("x264") ? /\bkeyint=(\d{1,6}|infinite)\b/.exec(text) : null;
    if (match?.[1] === undefined) continue;
    if (match[1] === "infinite") return "infinite";
    return Number(match[1]) > 0 ? Number(match[1]) : null;
  }
  return null;
}
