/** What the client says and hears in AMF0. */
export type AmfValue = number | boolean | string | null | undefined | AmfValue[] | { [key: string]: AmfValue };

/** AMF0 of some values, one after the other. */
export function encodeAmf0(...values: AmfValue[]): Buffer {
  return Buffer.concat(values.map(encodeValue));
}

/** All the AMF0 values in `bytes`. Throws on types that a server's answers do not hold. */
export function decodeAmf0(bytes: Buffer): AmfValue[] {
  const cursor = { bytes, at: 0 };
  const values: AmfValue[] = [];
  while (cursor.at < bytes.length) values.push(decodeValue(cursor));
  return values;
}

function encodeKey(key: string): Buffer {
  const text = Buffer.from(key, "utf8");
  return Buffer.concat([Buffer.from([text.length >> 8, text.length & 0xff]), text]);
}

function encodeValue(value: AmfValue): Buffer {
  if (value === null) return Buffer.from([5]);
  if (Array.isArray(value)) {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(value.length);
    return Buffer.concat([Buffer.from([10]), count, ...value.map(encodeValue)]);
  }
  switch (typeof value) {
    case "number": {
      const bytes = Buffer.alloc(9);
      bytes.writeDoubleBE(value, 1);
      return bytes;
    }
    case "boolean":
      return Buffer.from([1, value ? 1 : 0]);
    case "string":
      return Buffer.concat([Buffer.from([2]), encodeKey(value)]);
    case "undefined":
      return Buffer.from([6]);
    default: {
      const fields = Object.entries(value).flatMap(([key, field]) => [encodeKey(key), encodeValue(field)]);
      return Buffer.concat([Buffer.from([3]), ...fields, Buffer.from([0, 0, 9])]);
    }
  }
}

function decodeValue(cursor: { bytes: Buffer; at: number }): AmfValue {
  const { bytes } = cursor;
  const type = bytes.readUInt8(cursor.at++);
  switch (type) {
    case 0:
      cursor.at += 8;
      return bytes.readDoubleBE(cursor.at - 8);
    case 1:
      return bytes.readUInt8(cursor.at++) !== 0;
    case 2:
      return decodeKey(cursor);
    case 3: {
      const object: { [key: string]: AmfValue } = {};
      for (let key = decodeKey(cursor); key !== ""; key = decodeKey(cursor)) object[key] = decodeValue(cursor);
      cursor.at += 1;
      return object;
    }
    case 5:
      return null;
    case 10: {
      cursor.at += 4;
      return Array.from({ length: bytes.readUInt32BE(cursor.at - 4) }, () => decodeValue(cursor));
    }
    case 6:
      return undefined;
    default:
      throw new Error(`AMF0 type ${type}`);
  }
}

function decodeKey(cursor: { bytes: Buffer; at: number }): string {
  const length = cursor.bytes.readUInt16BE(cursor.at);
  cursor.at += 2 + length;
  return cursor.bytes.toString("utf8", cursor.at - length, cursor.at);
}
