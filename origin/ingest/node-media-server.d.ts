/** The parts of node-media-server's protocol classes that the ingest uses; the package has no types. */

declare module "node-media-server/src/protocol/rtmp.js" {
  interface RtmpPacket {
    header: { fmt: number; cid: number; timestamp: number; length: number; type: number; stream_id: number };
    /** Milliseconds; deltas are added up without wrapping at 32 bits. */
    clock: number;
    /** Reused by the next message of its chunk stream, and longer than the message. */
    payload: Buffer;
    capacity: number;
    /** How much of the current message has arrived. */
    bytes: number;
  }

  /** One connection's protocol state. Methods are replaced on the instance; `parserData` throws whatever its handlers throw. */
  export default class Rtmp {
    /** 3 once the handshake is complete. */
    handshakeState: number;
    parserPacket: RtmpPacket;
    inPackets: Map<number, RtmpPacket>;
    /** The window that the peer announced. */
    ackSize?: number;
    flv: unknown;
    onOutputCallback: (bytes: Buffer) => void;
    parserData(bytes: Buffer): string | null;
    packetParse(): void;
    packetAlloc(): void;
    controlHandler(): void;
    invokeHandler(): void;
    dataHandler(): void;
    onConnect(command: { transId?: unknown; cmdObj?: unknown }): void;
    onCreateStream(command: { transId?: unknown }): void;
    sendACK(bytes: number): void;
    sendStatusMessage(streamId: number, level: string, code: string, description: string): void;
  }
}

declare module "node-media-server/src/protocol/amf.js" {
  interface Amf {
    /** The command's name and its arguments by name. Throws on malformed input, by overflow of the stack on a deep one. */
    decodeAmf0Cmd(bytes: Buffer): { cmd?: unknown; transId?: unknown; cmdObj?: unknown; streamName?: unknown };
  }
  const amf: Amf;
  export default amf;
}

declare module "node-media-server/src/protocol/flv.js" {
  interface Flv {
    createHeader(hasAudio: boolean, hasVideo: boolean): Buffer;
    createMessage(packet: { codec_type: number; size: number; dts: number; data: Buffer }): Buffer;
  }
  const flv: Flv;
  export default flv;
}

declare module "node-media-server/src/core/logger.js" {
  const logger: { log: (message: string, level?: string) => void };
  export default logger;
}
