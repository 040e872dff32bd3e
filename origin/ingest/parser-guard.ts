import type Rtmp from "node-media-server/src/protocol/rtmp.js";
import { ProtocolViolation } from "./protocol-violation.ts";

/** What the parser may spend at this moment of a connection. Sizes in bytes. */
export interface ParserLimits {
  message: number;
  chunkStreams: number;
  /** Payload buffers of all chunk streams together. */
  buffers: number;
}

const SET_CHUNK_SIZE = 1;
const ABORT = 2;
const EVENT = 4;
const AUDIO = 8;
const VIDEO = 9;
const LARGEST_CHUNK = 0xffffff;
/** Commands and metadata are decoded whole, by recursion: they stay small whoever sends them. */
const LARGEST_COMMAND = 64 * 1024;
const PARTIAL_CHUNK = 3;

/**
 * Makes a parser refuse, by throwing, what it would otherwise trust the peer with: buffers of any announced length, any number of
 * chunk streams, a chunk size of zero (it would never return), headers that change a message half read.
 */
export function guardParser(rtmp: Rtmp, currentLimits: () => ParserLimits): void {
  const { packetParse, packetAlloc, controlHandler } = rtmp;
  let buffered = 0;

  rtmp.packetParse = () => {
    packetParse.call(rtmp);
    if (rtmp.inPackets.size > currentLimits().chunkStreams) throw new ProtocolViolation("too many chunk streams");
    const { bytes, header } = rtmp.parserPacket;
    if (bytes > 0 && header.fmt !== PARTIAL_CHUNK) throw new ProtocolViolation("message header inside a message");
  };

  rtmp.packetAlloc = () => {
    const packet = rtmp.parserPacket;
    const { type, length } = packet.header;
    const limits = currentLimits();
    const { least, most } = lengthBounds(type, limits.message);
    if (length < least || length > most) throw new ProtocolViolation(`message of type ${type} with a length of ${length}`);
    // The parser adds deltas up for ever and drops what is past 32 bits; the clock of RTMP wraps.
    packet.clock %= 2 ** 32;
    const before = packet.capacity;
    packetAlloc.call(rtmp);
    buffered += packet.capacity - before;
    if (buffered > limits.buffers) throw new ProtocolViolation("too many open messages");
  };

  rtmp.controlHandler = () => {
    const { header, payload } = rtmp.parserPacket;
    if (header.type === SET_CHUNK_SIZE) {
      const size = payload.readUInt32BE(0);
      if (size < 1 || size > LARGEST_CHUNK) throw new ProtocolViolation("chunk size out of range");
    }
    if (header.type === ABORT) {
      const aborted = rtmp.inPackets.get(payload.readUInt32BE(0));
      if (aborted) aborted.bytes = 0;
    }
    controlHandler.call(rtmp);
  };
}

function lengthBounds(type: number, longestMedia: number): { least: number; most: number } {
  switch (type) {
    case SET_CHUNK_SIZE:
    case ABORT:
    case 3: // acknowledgement
    case 5: // window acknowledgement size
    case 6: // set peer bandwidth
      return { least: 4, most: 16 };
    case EVENT:
      return { least: 2, most: 64 };
    case AUDIO:
    case VIDEO:
      return { least: 0, most: longestMedia };
    case 15: // AMF3 data
    case 18: // AMF0 data
      return { least: 0, most: LARGEST_COMMAND };
    case 17: // AMF3 command
    case 20: // AMF0 command
      return { least: 1, most: LARGEST_COMMAND };
    default:
      throw new ProtocolViolation(`message type ${type}`);
  }
}
