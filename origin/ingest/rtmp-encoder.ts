import Rtmp from "node-media-server/src/protocol/rtmp.js";

/*
 * What the ingest says, encoded by node-media-server. One instance serves all connections: each takes a megabyte, and what it keeps
 * between two calls is begun anew here.
 */

/** C0 and C1 of a handshake. */
export const HELLO_BYTES = 1 + 1536;

const NOT_BEGUN = 0;
const rtmp = new Rtmp();

function collect(speak: () => void): Buffer {
  const pieces: Buffer[] = [];
  rtmp.onOutputCallback = (bytes) => pieces.push(bytes);
  speak();
  return Buffer.concat(pieces);
}

/** S0, S1 and S2 for an encoder's C0 and C1, with a digest where the encoder has one. */
export function answerHandshake(hello: Buffer): Buffer {
  return collect(() => {
    rtmp.handshakeState = NOT_BEGUN;
    rtmp.parserData(hello);
  });
}

/** An `onStatus`. */
export function encodeStatus(streamId: number, level: "status" | "error", code: string, words: string): Buffer {
  // The library's AMF strings count characters where the wire counts bytes: ASCII only.
  const description = words.replace(/[^\x20-\x7e]/g, "?").slice(0, 300);
  return collect(() => rtmp.sendStatusMessage(streamId, level, code, description));
}

/** A `_result`. */
export function encodeResult(transactionId: number, properties: object | null, information: object | number): Buffer {
  return collect(() => rtmp.sendInvokeMessage(0, { cmd: "_result", transId: transactionId, cmdObj: properties, info: information }));
}

/** What is agreed before anything else: windows and the size of our chunks, bytes. */
export function encodeTerms(window: number, chunkSize: number): Buffer {
  const dynamic = 2;
  return collect(() => {
    rtmp.sendWindowACK(window);
    rtmp.setPeerBandwidth(window, dynamic);
    rtmp.setChunkSize(chunkSize);
  });
}

/** That so many bytes have been read. */
export function encodeAcknowledgement(received: number): Buffer {
  return collect(() => rtmp.sendACK(received % 2 ** 32));
}
