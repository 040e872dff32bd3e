import { encodeAmf0 } from "./amf0.ts";
import { encodeMessage } from "./chunks.ts";
import { RtmpClient } from "./client.ts";

/** Ways to break the protocol: each opens a connection, misbehaves on it, and hands it over to see what becomes of it. */
export type Misbehaviour = (port: number) => Promise<RtmpClient>;

const SET_CHUNK_SIZE = 1;
const COMMAND = 20;
const VIDEO = 9;
const details = { app: "live", tcUrl: "rtmp://127.0.0.1/live" };

function afterHandshake(misbehave: (client: RtmpClient) => void): Misbehaviour {
  return async (port) => {
    const client = await RtmpClient.shaken(port);
    misbehave(client);
    return client;
  };
}

function afterConnect(misbehave: (client: RtmpClient) => void): Misbehaviour {
  return async (port) => {
    const client = await RtmpClient.connected(port);
    misbehave(client);
    return client;
  };
}

function whileLive(misbehave: (client: RtmpClient) => void): Misbehaviour {
  return async (port) => {
    const client = await RtmpClient.connected(port);
    await client.publish("misbehaving");
    misbehave(client);
    return client;
  };
}

function beforeHandshake(bytes: Buffer): Misbehaviour {
  return async (port) => {
    const client = await RtmpClient.open(port);
    client.raw(bytes);
    return client;
  };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function invoke(client: RtmpClient, payload: Buffer): void {
  client.send({ type: COMMAND, payload });
}

/** A `connect` whose details hold objects in objects, `levels` deep. */
function encodeDeepConnect(levels: number): Buffer {
  return Buffer.concat([
    encodeAmf0("connect", 1),
    Buffer.concat(Array<Buffer>(levels).fill(Buffer.from([3, 0, 1, 0x61]))),
    Buffer.from([5]),
  ]);
}

/** A message that announces `length` bytes and brings its first chunk. */
function announce(type: number, length: number, chunkStream = 5): Buffer {
  return encodeMessage({ type, streamId: 1, timestamp: 0, payload: Buffer.alloc(128) }, { chunkStream, chunkSize: 128, length });
}

const noise = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7919 + (index >> 3) * 104_729 + 31) & 0xff));

export const misbehaviours: Record<string, Misbehaviour> = {
  "an HTTP request": beforeHandshake(Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
  "a wrong version byte": beforeHandshake(Buffer.concat([Buffer.from([6]), Buffer.alloc(3072)])),
  "TLS where none is spoken": beforeHandshake(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])),
  "random bytes after the handshake": afterHandshake((client) => client.raw(noise)),
  "an empty SetChunkSize": afterHandshake((client) => {
    client.send({ type: SET_CHUNK_SIZE, payload: Buffer.alloc(0) }, 2);
    client.send({ type: SET_CHUNK_SIZE, payload: uint32(128) }, 2);
  }),
  "a chunk size of 0": afterHandshake((client) => client.send({ type: SET_CHUNK_SIZE, payload: uint32(0) }, 2)),
  "a chunk size of 2^31": afterHandshake((client) => client.send({ type: SET_CHUNK_SIZE, payload: uint32(0x80000000) }, 2)),
  "a chunk size past 24 bits": afterHandshake((client) => client.send({ type: SET_CHUNK_SIZE, payload: uint32(0x1000000) }, 2)),
  "an empty command": afterHandshake((client) => {
    invoke(client, Buffer.alloc(0));
    invoke(client, encodeAmf0("x"));
  }),
  "connect without tcUrl": afterHandshake((client) => client.command("connect", 1, [{ app: "live" }])),
  "connect with a bad tcUrl": afterHandshake((client) => client.command("connect", 1, [{ app: "live", tcUrl: "::no url::" }])),
  "connect without details": afterHandshake((client) => client.command("connect", 1, [])),
  "two connects": afterConnect((client) => client.command("connect", 1, [details])),
  "truncated AMF": afterHandshake((client) => invoke(client, encodeAmf0("connect", 1, details).subarray(0, 40))),
  "an AMF string longer than its message": afterHandshake((client) => invoke(client, Buffer.from([3, 0xff, 0xff, 0x61]))),
  "AMF objects 15,000 levels deep": afterHandshake((client) => invoke(client, encodeDeepConnect(15_000))),
  "an AMF array of 2^32 - 1 elements": afterHandshake((client) =>
    invoke(client, Buffer.concat([encodeAmf0("connect"), Buffer.from([10, 255, 255, 255, 255])])),
  ),
  "unknown AMF types": afterHandshake((client) =>
    invoke(client, Buffer.concat([encodeAmf0("connect", 1), Buffer.from([0x0d, 0x0e, 0x77])])),
  ),
  "a command named after a prototype": afterHandshake((client) => client.command("constructor", 1, [details])),
  "createStream before connect": afterHandshake((client) => client.command("createStream", 2, [null])),
  "publish before connect": afterHandshake((client) => client.command("publish", 3, [null, "early", "live"], 1)),
  "media before publish": afterConnect((client) => client.send({ type: VIDEO, streamId: 1, payload: Buffer.alloc(64, 1) })),
  "a publish name that is a number": afterConnect((client) => client.command("publish", 3, [null, 42, "live"], 1)),
  "a publish name that is an object": afterConnect((client) => client.command("publish", 3, [null, { split: "x" }, "live"], 1)),
  "a huge message before publish": afterConnect((client) => client.raw(announce(VIDEO, 0xffffff))),
  "a huge command while live": whileLive((client) => client.raw(announce(COMMAND, 0x100000))),
  "many chunk streams": afterConnect((client) => {
    for (let stream = 3; stream < 60; stream++) client.raw(announce(VIDEO, 1000, stream));
  }),
  "many large messages at once while live": whileLive((client) => {
    for (let stream = 10; stream < 20; stream++) client.raw(announce(VIDEO, 0xf00000, stream));
  }),
  "a header inside a message": afterConnect((client) => {
    client.raw(announce(COMMAND, 200));
    client.raw(announce(COMMAND, 60_000));
  }),
  "a chunk stream that begins with a continuation": afterHandshake((client) => client.raw(Buffer.from([0xc9, 1, 2, 3]))),
  "too much before publish": afterConnect((client) => {
    for (let count = 0; count < 3000; count++) client.command("_checkbw", 9, ["x".repeat(100)]);
  }),
  "an aggregate": whileLive((client) => client.send({ type: 22, streamId: 1, payload: Buffer.alloc(40, 1) })),
  "a shared object": afterConnect((client) => client.send({ type: 19, payload: Buffer.alloc(10) })),
  play: afterConnect((client) => client.command("play", 3, [null, "good"], 1)),
  "play and then media": afterConnect((client) => {
    client.command("play", 3, [null, "good"], 1);
    client.send({ type: VIDEO, streamId: 1, payload: Buffer.alloc(64, 1) });
  }),
  "play while live": whileLive((client) => client.command("play", 3, [null, "good"], 1)),
  "two publishes": whileLive((client) => client.command("publish", 4, [null, "misbehaving", "live"], 1)),
  "a second publish under another name": whileLive((client) => client.command("publish", 4, [null, "good", "live"], 1)),
};
