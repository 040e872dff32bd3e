import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { RawWebSocket, socketPath } from "../fakes/raw-websocket.ts";

let platform: Platform;
const encoders: Encoder[] = [];

function encode(key: string): Encoder {
  const encoder = startEncoder(platform.rtmpPort, key);
  encoders.push(encoder);
  return encoder;
}

async function keysApi<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  const answer = await fetch(`${platform.site}/api/v1/streams/${path}`, {
    method,
    headers: { Authorization: `Bearer ${platform.apiKey}`, "Content-Type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (answer.status === 204 ? null : await answer.json()) as Answer;
}

const status = async (id: string) => (await platform.getStream(id)).status;
const soon = { timeout: 15_000, interval: 50 };

beforeAll(async () => {
  platform = await startPlatform();
});
afterEach(async () => {
  await Promise.all(encoders.splice(0).map((encoder) => encoder.crash()));
});
afterAll(() => platform.stop());

/** Seconds until an encoder has been sent away. */
async function secondsUntilGone(encoder: Encoder, since: number): Promise<number> {
  await encoder.exited;
  return (performance.now() - since) / 1000;
}

describe("a live encoder", () => {
  it("is stopped within two seconds of its key's revocation, and one with another key goes on with the broadcast", async () => {
    const { id, stream_key } = await platform.createStream();
    const encoder = encode(stream_key);
    await expect.poll(() => status(id), soon).toBe("active");
    const { keys } = await keysApi<{ keys: { id: string; last_used_from: string | null }[] }>("GET", `${id}/keys`);
    expect(keys.map(({ last_used_from }) => last_used_from)).toEqual(["127.0.0.1"]);
    const other = await keysApi<{ stream_key: string }>("POST", `${id}/keys`, { label: "other" });
    const revokedAt = performance.now();
    await keysApi("DELETE", `${id}/keys/${keys[0]?.id}`);
    expect(await secondsUntilGone(encoder, revokedAt)).toBeLessThan(2);
    expect(await status(id)).toBe("reconnecting");
    const refused = encode(stream_key);
    expect(await refused.exited).not.toBe(0);
    encode(other.stream_key);
    await expect.poll(() => status(id), soon).toBe("active");
    expect((await platform.getStream(id)).broadcast).toBe(1);
    expect(platform.logs.join("\n")).not.toContain(other.stream_key);
  });

  it("is stopped within two seconds of its stream's deletion, and viewers are told", async () => {
    const { id, stream_key } = await platform.createStream();
    const encoder = encode(stream_key);
    await expect.poll(() => status(id), soon).toBe("active");
    const socket = await RawWebSocket.open(platform.site, socketPath(id, "viewer-0001"));
    const deletedAt = performance.now();
    expect((await platform.deleteStream(id)).status).toBe(204);
    expect(await secondsUntilGone(encoder, deletedAt)).toBeLessThan(2);
    await expect.poll(() => socket.last("stream_ended")?.data.reason, { timeout: 2_000 }).toBe("deleted");
    socket.destroy();
    expect((await platform.deleteStream(id)).status).toBe(409);
    const refused = encode(stream_key);
    expect(await refused.exited).not.toBe(0);
  });
});
