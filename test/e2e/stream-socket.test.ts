import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { CreatedStream } from "../../workers/api/client/operations.ts";
import type { SocketLike } from "../../workers/web/client/socket-environment.ts";
import { type StreamFrame, StreamSocket, streamSocketUrl } from "../../workers/web/client/stream-socket.ts";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";

let platform: Platform;
let encoder: Encoder;
let stream: CreatedStream;
const clients: Client[] = [];
const soon = { timeout: 15_000, interval: 50 };

/** The client as a page has it, in this process, and what goes over its sockets. */
class Client {
  readonly frames: StreamFrame[] = [];
  readonly gaps: object[] = [];
  readonly closes: number[] = [];
  readonly sockets: WebSocket[] = [];
  readonly sent: string[] = [];
  readonly socket: StreamSocket;

  constructor(viewer: string) {
    const client = this;
    class Recorded extends WebSocket {
      constructor(url: string) {
        super(url);
        client.sockets.push(this);
        this.addEventListener("close", ({ code }) => client.closes.push(code));
      }

      override send(text: string): void {
        client.sent.push(text);
        super.send(text);
      }
    }
    const handlers = { onFrame: (frame: StreamFrame) => void this.frames.push(frame), onGap: (gap: object) => void this.gaps.push(gap) };
    this.socket = new StreamSocket(streamSocketUrl({ edge: platform.site, stream: stream.id, viewer }), handlers, {
      WebSocket: Recorded as unknown as new (url: string) => SocketLike,
    });
    this.socket.connect();
    clients.push(this);
  }

  /** The line breaks, as the client sees it. */
  cut(): void {
    const socket = this.sockets.at(-1);
    const onclose = socket?.onclose;
    socket?.close();
    onclose?.call(socket as WebSocket, new CloseEvent("close", { code: 1006 }));
  }

  /** Payloads of timed metadata, in the order in which they came. */
  get payloads(): unknown[] {
    return this.frames.flatMap((frame) => (frame.event === "timed_metadata" ? [frame.data.payload] : []));
  }

  /** Numbers of the events, without the greetings. */
  get numbers(): number[] {
    return this.frames.filter(({ event }) => event !== "connection_established").map(({ seq }) => seq);
  }
}

async function sendMetadata(payload: unknown): Promise<void> {
  const answer = await fetch(`${platform.site}/api/v1/streams/${stream.id}/metadata`, {
    method: "POST",
    headers: { Authorization: "Bearer platform-admin-key", "Content-Type": "application/json" },
    body: JSON.stringify({ payload }),
  });
  if (answer.status !== 202) throw new Error(`metadata: ${answer.status} ${await answer.text()}`);
}

beforeAll(async () => {
  platform = await startPlatform();
  stream = await platform.createStream();
  encoder = startEncoder(platform.rtmpPort, stream.stream_key);
  await vi.waitFor(async () => expect((await platform.getStream(stream.id)).status).toBe("active"), soon);
});
afterEach(() => {
  for (const { socket } of clients.splice(0)) socket.close();
});
afterAll(async () => {
  await encoder.crash();
  await platform.stop();
});

describe("the client and the server", () => {
  it("stay together over more than may be unacknowledged", async () => {
    const client = new Client("acknowledging");
    await expect.poll(() => client.frames.length, soon).toBeGreaterThan(0);
    // At most five a second are taken.
    for (let n = 0; n < 24; n++) {
      await sendMetadata({ n, padding: "x".repeat(3_900) });
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    await expect.poll(() => client.payloads.length, soon).toBe(24);
    const acks = client.sent.filter((text) => text.includes('"ack"'));
    expect(acks.length).toBeGreaterThanOrEqual(4);
    expect(client.closes).toEqual([]);
    expect(client.sockets).toHaveLength(1);
  });

  it("miss nothing, and hear nothing twice, when the line is cut", async () => {
    const client = new Client("is-cut-off");
    await expect.poll(() => client.socket.status, soon).toBe("open");
    await expect.poll(() => client.frames.length, soon).toBeGreaterThan(0);
    for (let n = 0; n < 6; n++) {
      if (n % 2 === 0) client.cut();
      await sendMetadata(n);
      await expect.poll(() => client.payloads, soon).toContain(n);
    }
    expect(client.payloads).toEqual([0, 1, 2, 3, 4, 5]);
    expect(client.gaps).toEqual([]);
    const { numbers } = client;
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] as number) + index));
    expect(client.sockets.length).toBeGreaterThanOrEqual(4);
    for (const { url } of client.sockets.slice(1)) expect(new URL(url).searchParams.get("resume")).toMatch(/^[0-9a-f-]{36}\.\d+$/);
  });
});
