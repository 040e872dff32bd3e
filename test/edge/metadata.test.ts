import { describe, expect, it } from "vitest";
import { ServerFrame } from "../../domain/protocol/events.ts";
import { ask, askApi, createStream, OriginCalls } from "./edge.ts";

async function live() {
  const stream = await createStream();
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  return { ...stream, origin };
}

function send(id: string, body: unknown): Promise<Response> {
  return askApi("POST", `/api/v1/streams/${id}/metadata`, body);
}

async function refusal(answer: Promise<Response>): Promise<[number, string]> {
  const { status, ...rest } = await answer.then(async (given) => ({ status: given.status, ...(await given.json<{ error: string }>()) }));
  return [status, rest.error];
}

/** JSON that is so many bytes long. */
function payloadOf(bytes: number): string {
  return "x".repeat(bytes - 2);
}

describe("what a broadcaster sends along", () => {
  it("reaches every viewer as one event, with its number and its time", async () => {
    const { id } = await live();
    const frames: ServerFrame[][] = [];
    for (const viewer of ["viewer-0001", "viewer-0002"]) {
      const socket = (await ask(`/api/v1/streams/${id}/ws?viewer=${viewer}`, { headers: { Upgrade: "websocket" } })).webSocket as WebSocket;
      const own: ServerFrame[] = [];
      frames.push(own);
      socket.addEventListener("message", ({ data }) => void own.push(ServerFrame.parse(JSON.parse(data as string))));
      socket.accept();
    }
    const payload = { goal: "1:0", scorers: ["Ängström", null], nested: { deep: [1, true] } };
    const answer = await send(id, { payload, at: "2026-11-21T12:00:00+02:00" });
    expect([answer.status, answer.headers.get("Cache-Control")]).toEqual([202, "no-store"]);
    const { seq, at } = await answer.json<{ seq: number; at: string }>();
    expect(at).toBe("2026-11-21T10:00:00.000Z");
    const expected = { event: "timed_metadata", seq, data: { at, payload } };
    for (const own of frames) await expect.poll(() => own.find(({ event }) => event === "timed_metadata")).toEqual(expected);
  });

  it("belongs to now where no time is given, and may be any JSON", async () => {
    const { id } = await live();
    const before = Date.now();
    let last = 0;
    for (const payload of [null, 0, "text", [], {}]) {
      const answer = await send(id, { payload });
      const { seq, at } = await answer.json<{ seq: number; at: string }>();
      expect([answer.status, seq > last]).toEqual([202, true]);
      expect(Date.parse(at)).toBeGreaterThanOrEqual(before);
      expect(Date.parse(at)).toBeLessThanOrEqual(Date.now());
      last = seq;
    }
  });

  it("may be 4 KiB, however the body writes it, and five a second", async () => {
    const { id } = await live();
    expect((await send(id, { payload: payloadOf(4096) })).status).toBe(202);
    const escaped = `{  "payload"  :  "${"\\u0078".repeat(2000)}"  }`;
    const headers = { Authorization: "Bearer test-admin-key" };
    expect((await ask(`/api/v1/streams/${id}/metadata`, { method: "POST", headers, body: escaped })).status).toBe(202);
    expect(await refusal(send(id, { payload: payloadOf(4097) }))).toEqual([413, "payload_too_large"]);
    expect(await refusal(send(id, { payload: "é".repeat(2048) }))).toEqual([413, "payload_too_large"]);
    expect(await refusal(send(id, { payload: payloadOf(65_536) }))).toEqual([413, "body_too_large"]);
    const burst = await Promise.all(Array.from({ length: 12 }, () => send(id, { payload: 1 })));
    const refused = burst.find(({ status }) => status !== 202) as Response;
    expect([refused.status, (await refused.json<{ error: string }>()).error]).toEqual([429, "too_many_messages"]);
  });

  it.each([
    ["no payload", { at: "2026-11-21T10:00:00Z" }],
    ["another field", { payload: 1, to: "viewer-0001" }],
    ["a time without a zone", { payload: 1, at: "2026-11-21T10:00:00" }],
    ["no time", { payload: 1, at: "now" }],
    ["a payload that is too deep", { payload: JSON.parse("[".repeat(33) + "]".repeat(33)) }],
    ["a payload that is deeper than any stack", { payload: JSON.parse("[".repeat(7_000) + "]".repeat(7_000)) }],
    ["a list", [1]],
  ])("is refused with %s", async (_what, body) => {
    const { id } = await live();
    expect(await refusal(send(id, body))).toEqual([400, "invalid_request"]);
  });

  it("goes with a live broadcast of one's own only", async () => {
    const stream = await createStream();
    expect(await refusal(send(stream.id, { payload: 1 }))).toEqual([409, "not_live"]);
    const { id, origin } = await live();
    expect((await send(id, { payload: JSON.parse("[".repeat(32) + "]".repeat(32)) })).status).toBe(202);
    const anonymous = ask(`/api/v1/streams/${id}/metadata`, { method: "POST", body: '{"payload":1}' });
    expect(await refusal(anonymous)).toEqual([401, "unauthorized"]);
    expect(await refusal(send("0".repeat(24), { payload: 1 }))).toEqual([404, "stream_not_found"]);
    await origin.end("unpublished");
    expect(await refusal(send(id, { payload: 1 }))).toEqual([409, "not_live"]);
    await askApi("DELETE", `/api/v1/streams/${id}`);
    expect(await refusal(send(id, { payload: 1 }))).toEqual([410, "stream_deleted"]);
  });
});
