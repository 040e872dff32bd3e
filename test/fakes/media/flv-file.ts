import { encodeFlvHeader } from "../../../origin/transcode/flv.ts";
import type { FlvTag } from "../rtmp/flv-tags.ts";

/** Tags as an FLV file. */
export function encodeFlvFile(tags: FlvTag[]): Buffer {
  const header = encodeFlvHeader({ video: tags.some(({ type }) => type === 9), audio: tags.some(({ type }) => type === 8) });
  return Buffer.concat([header, ...tags.flatMap(encodeTag)]);
}

function encodeTag({ type, timestamp, data }: FlvTag): Buffer[] {
  const head = Buffer.alloc(11);
  head.writeUInt8(type, 0);
  head.writeUIntBE(data.length, 1, 3);
  head.writeUIntBE(timestamp & 0xffffff, 4, 3);
  head.writeUInt8(timestamp >>> 24, 7);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(11 + data.length);
  return [head, data, length];
}
