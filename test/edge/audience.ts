import { ServerFrame } from "../../domain/protocol/events.ts";
import { askOnce } from "./edge.ts";

/** A viewer's socket, and what it has been told. */
export interface TestViewer {
  socket: WebSocket;
  frames: ServerFrame[];
  closed: { code: number; reason: string } | null;
  /** The newest frame of an event. */
  last<Name extends ServerFrame["event"]>(event: Name): Extract<ServerFrame, { event: Name }> | undefined;
  /** The newest count that it has been told. */
  count(): number | undefined;
  ping(): Promise<void>;
}

/** The raw answer to an upgrade. */
export function connect(stream: string, viewer: string, headers: Record<string, string> = {}, query = ""): Promise<Response> {
  return askOnce(`/api/v1/streams/${stream}/ws?viewer=${viewer}${query}`, { headers: { Upgrade: "websocket", ...headers } });
}

/** Opens a socket. Every frame is held against the schema. */
export async function join(stream: string, name: string, headers: Record<string, string> = {}, query = ""): Promise<TestViewer> {
  const answer = await connect(stream, name, headers, query);
  const socket = answer.webSocket;
  if (answer.status !== 101 || socket === null) throw new Error(`no socket: ${answer.status} ${await answer.text()}`);
  const frames: ServerFrame[] = [];
  const viewer: TestViewer = {
    socket,
    frames,
    closed: null,
    last: (event) => frames.findLast((frame) => frame.event === event) as never,
    count: () => {
      const frame = frames.findLast(({ event }) => event === "viewer_count_changed" || event === "connection_established");
      return frame !== undefined && "viewer_count" in frame.data ? frame.data.viewer_count : undefined;
    },
    ping: () =>
      new Promise((resolve) => {
        socket.addEventListener("message", (event) => event.data === "pong" && resolve());
        socket.send("ping");
      }),
  };
  socket.addEventListener("message", (event) => {
    if (event.data !== "pong") frames.push(ServerFrame.parse(JSON.parse(event.data as string)));
  });
  socket.addEventListener("close", ({ code, reason }) => {
    viewer.closed = { code, reason };
  });
  socket.accept();
  return viewer;
}

/** Joins viewers with numbered names, one after the other. */
export async function joinMany(stream: string, count: number, prefix = "viewer"): Promise<TestViewer[]> {
  const viewers: TestViewer[] = [];
  for (let i = 0; i < count; i++) viewers.push(await join(stream, `${prefix}-${String(i).padStart(4, "0")}`));
  return viewers;
}

/** Throws unless the numbers of the shared events are without holes, or a `gap` says which are missing. */
export function assertContiguous(frames: readonly ServerFrame[]): void {
  let seq: number | null = null;
  for (const frame of frames) {
    if (frame.event === "connection_established" || seq === null) {
      seq = frame.seq;
      continue;
    }
    if (frame.event === "error") continue;
    if (frame.event === "gap" ? frame.data.from > seq + 1 : frame.seq !== seq + 1) {
      throw new Error(
        `${frame.event} ${frame.seq} after ${seq}: ${JSON.stringify(frames.map(({ event, seq: number }) => `${event} ${number}`))}`,
      );
    }
    seq = frame.seq;
  }
}
