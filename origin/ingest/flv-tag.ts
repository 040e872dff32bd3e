import flv from "node-media-server/src/protocol/flv.js";

const AMF3_DATA = 15;
const DATA = 18;
// An RTMP verb in front of the metadata, which FLV does not have and demuxers do not skip.
const setDataFrame = Buffer.from("\x02\x00\x0d@setDataFrame", "latin1");

/** The first bytes of an FLV stream that may hold audio and video. */
export function encodeFlvHeader(): Buffer {
  return flv.createHeader(true, true);
}

/**
 * An RTMP audio (8), video (9) or data (15, 18) message as an FLV tag, copied out of `payload`; null for an empty one.
 * `timestamp` in milliseconds, 32 bits.
 */
export function encodeFlvTag(type: number, timestamp: number, payload: Buffer): Buffer | null {
  let data = payload;
  if (type === AMF3_DATA && data[0] === 0) data = data.subarray(1);
  const isData = type === AMF3_DATA || type === DATA;
  if (isData && data.subarray(0, setDataFrame.length).equals(setDataFrame)) data = data.subarray(setDataFrame.length);
  if (data.length === 0) return null;
  return flv.createMessage({ codec_type: isData ? DATA : type, size: data.length, dts: timestamp, data });
}
