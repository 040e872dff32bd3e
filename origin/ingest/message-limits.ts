import { ProtocolViolation } from "./protocol-violation.ts";

/** What the reader of chunks may spend at this moment of a connection. Sizes in bytes. */
export interface ReaderLimits {
  message: number;
  chunkStreams: number;
  /** Payload buffers of all chunk streams together. */
  buffers: number;
}

/** RTMP's message types, as far as an encoder may send them. */
export const MessageType = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  event: 4,
  windowSize: 5,
  peerBandwidth: 6,
  audio: 8,
  video: 9,
  amf3Data: 15,
  amf3Command: 17,
  data: 18,
  command: 20,
} as const;

/** Commands and metadata are decoded whole: they stay small whoever sends them. */
const LARGEST_COMMAND = 64 * 1024;

/** Throws on a message that is not taken at all (shared objects, aggregates) or whose announced length is not one of its kind. */
export function checkMessage(type: number, length: number, longestMedia: number): void {
  const { least, most } = lengthBounds(type, longestMedia);
  if (length < least || length > most) throw new ProtocolViolation(`message of type ${type} with a length of ${length}`);
}

function lengthBounds(type: number, longestMedia: number): { least: number; most: number } {
  switch (type) {
    case MessageType.setChunkSize:
    case MessageType.abort:
    case MessageType.acknowledgement:
    case MessageType.windowSize:
    case MessageType.peerBandwidth:
      return { least: 4, most: 16 };
    case MessageType.event:
      return { least: 2, most: 64 };
    case MessageType.audio:
    case MessageType.video:
      return { least: 0, most: longestMedia };
    case MessageType.amf3Data:
    case MessageType.data:
      return { least: 0, most: LARGEST_COMMAND };
    case MessageType.amf3Command:
    case MessageType.command:
      return { least: 1, most: LARGEST_COMMAND };
    default:
      throw new ProtocolViolation(`message type ${type}`);
  }
}
