import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, expectTypeOf, it } from "vitest";
import { ClientFrame, ServerFrame } from "../../domain/protocol/events.ts";
import { isKnownFrame, parseFrame } from "../../workers/web/client/frame.ts";
import { makeViewerId, type StreamFrame, streamSocketUrl } from "../../workers/web/client/stream-socket.ts";

describe("the frames that the client knows", () => {
  it("are those of the protocol, to the last field", () => {
    expectTypeOf<StreamFrame>().toExtend<ServerFrame>();
    expectTypeOf<ServerFrame>().toExtend<StreamFrame>();
    const events = ServerFrame.options.map(({ shape }) => shape.event.value);
    for (const event of events) expect(isKnownFrame({ event, seq: 1, data: {} })).toBe(true);
    expect(isKnownFrame({ event: "toString", seq: 1, data: {} })).toBe(false);
  });

  it("are read from texts, and nothing else is", () => {
    const frame = { event: "anything", seq: 1, data: { id: 1 } };
    expect(parseFrame(JSON.stringify({ ...frame, more: 1 }))).toEqual(frame);
    for (const text of [
      "pong",
      "{",
      "null",
      "[]",
      '{"event":1,"seq":1,"data":{}}',
      '{"event":"a","seq":1.5,"data":{}}',
      '{"event":"a","seq":1}',
    ]) {
      expect(parseFrame(text)).toBeNull();
    }
  });
});

describe("the examples in docs/websocket.md", () => {
  const text = readFileSync(join(import.meta.dirname, "..", "..", "docs", "websocket.md"), "utf8");
  const blocks = [...text.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => match[1] as string);
  const examples: object[] = blocks
    .flatMap((block) => (block.startsWith("{\n") ? [block] : block.trim().split("\n")))
    .map((one) => JSON.parse(one));

  it("are frames of the protocol, one of each", () => {
    const frames = examples.filter((example) => "event" in example).map((example) => ServerFrame.parse(example));
    expect(frames).toEqual(examples.filter((example) => "event" in example));
    expect(frames.map(({ event }) => event).sort()).toEqual(ServerFrame.options.map(({ shape }) => shape.event.value).sort());
    const messages = examples.filter((example) => "type" in example);
    expect(messages.map((message) => ClientFrame.parse(message))).toEqual(messages);
    expect(messages).toHaveLength(ClientFrame.options.length);
  });
});

describe("a socket's address", () => {
  const address = { edge: "https://live.example", stream: "abc", viewer: "abcdefgh" };

  it("is secure where the site is, and carries viewer and token", () => {
    expect(streamSocketUrl(address)).toBe("wss://live.example/api/v1/streams/abc/ws?viewer=abcdefgh");
    expect(streamSocketUrl({ ...address, edge: "http://127.0.0.1:8787/", token: "a.b.c" })).toBe(
      "ws://127.0.0.1:8787/api/v1/streams/abc/ws?viewer=abcdefgh&token=a.b.c",
    );
    expect(streamSocketUrl({ ...address, stream: "../x" })).toContain("/streams/..%2Fx/ws");
    expect(() => streamSocketUrl({ ...address, edge: "nowhere" })).toThrow(TypeError);
  });

  it("takes the ids that it makes, each one new", () => {
    const ids = new Set(Array.from({ length: 100 }, makeViewerId));
    expect(ids.size).toBe(100);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });
});
