/** The parts of node-media-server's protocol classes that the ingest uses; the package has no types. */

declare module "node-media-server/src/protocol/rtmp.js" {
  /** The protocol's state of one connection. */
  export default class Rtmp {
    /** 0 before the handshake. */
    handshakeState: number;
    onOutputCallback: (bytes: Buffer) => void;
    parserData(bytes: Buffer): string | null;
    sendACK(bytes: number): void;
    sendWindowACK(bytes: number): void;
    setPeerBandwidth(bytes: number, type: number): void;
    setChunkSize(bytes: number): void;
    sendInvokeMessage(streamId: number, command: { cmd: "_result"; transId: number; cmdObj: object | null; info: object | number }): void;
    sendStatusMessage(streamId: number, level: string, code: string, description: string): void;
  }
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
