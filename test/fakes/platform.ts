import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOriginConfig } from "../../origin/config.ts";
import type { Log } from "../../origin/log.ts";
import { Origin, type OriginPorts } from "../../origin/origin.ts";
import { build } from "../../scripts/local/build.ts";
import { startEdge } from "../../scripts/local/edge.ts";
import { type ApiClient, createApiClient } from "../../workers/api/client/api-client.ts";
import type { CreatedStream, CreateStream, Stream, ViewerList } from "../../workers/api/client/operations.ts";
import { findListener } from "./listener.ts";

const PLAYBACK_KEYS = JSON.stringify({ keys: [{ kty: "oct", alg: "HS256", kid: "test", k: Buffer.alloc(32, 7).toString("base64url") }] });
const SECRETS = {
  ID_SECRET: "platform-id-secret",
  ORIGIN_TOKENS: "platform-origin-token",
  ADMIN_API_KEY: "platform-admin-key",
  PLAYBACK_KEYS,
};

/** A whole platform in this process: the built edge in workerd, and an origin before it. */
export interface Platform {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  site: string;
  rtmpPort: number;
  /** What proves an origin to the edge. */
  originToken: string;
  /** The administrator's. */
  apiKey: string;
  origin: Origin;
  /** Where the origin is asked for its health. */
  privatePort: number;
  /** Another box at the same edge; `settings` as an origin's environment. Ends with the platform. */
  startOrigin(settings?: Record<string, string>): Promise<{ origin: Origin; ports: OriginPorts }>;
  /** Every line that the origin has logged. */
  logs: string[];
  /** Calls the API with the administrator's key. */
  api: ApiClient["api"]["v1"];
  createStream(fields?: Partial<CreateStream>): Promise<CreatedStream>;
  getStream(id: string): Promise<Stream>;
  deleteStream(id: string): Promise<{ status: number }>;
  /** A page of who watches and has watched. */
  viewers(id: string, query?: { limit?: number; cursor?: string }): Promise<ViewerList>;
  /** Tells the viewers of a live stream. Rejects where it is refused; else answers with the event's number. */
  sendMetadata(id: string, payload: unknown): Promise<number>;
  /** How many objects of a class have stored anything. */
  countObjects(className: string): number;
  /** The process that the edge runs in now. */
  edgePid(): number;
  /** Kills the edge as a power cut would, and starts it again at the same port with the same data. */
  crashEdge(): Promise<void>;
  stop(): Promise<void>;
}

/** What may differ from a platform as it is. */
export interface PlatformOptions {
  /** Lets the origin reach the edge another way. */
  edgeUrl?: (site: string) => Promise<string>;
  /** Settings of wrangler.toml that shall be others here. */
  vars?: Record<string, string>;
  /** Settings of the origin that shall be others here, as its environment. */
  origin?: Record<string, string>;
}

/** A log that keeps its lines as JSON. */
function createMemoryLog(lines: string[], fixed: object = {}): Log {
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push(JSON.stringify({ level, ...fixed, ...fields, message }));
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (fields) => createMemoryLog(lines, { ...fixed, ...fields }),
  };
}

/** Starts a platform on free ports, with data of its own. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  await build();
  const dataDir = mkdtempSync(join(tmpdir(), "nova-platform-"));
  const edgeOptions = { host: "127.0.0.1", dataDir, rtmpUrl: "rtmp://{host}:1935/live", secrets: SECRETS, vars: options.vars ?? {} };
  let edge = await startEdge({ ...edgeOptions, port: 0 });
  const site = edge.url.origin;
  const port = Number(edge.url.port);
  const logs: string[] = [];
  const log = createMemoryLog(logs);
  const edgeUrl = (await options.edgeUrl?.(site)) ?? site;
  const origins: Origin[] = [];
  const startOrigin: Platform["startOrigin"] = async (settings = {}) => {
    const name = `box${origins.length}`;
    const environment = {
      EDGE_URL: edgeUrl,
      ORIGIN_TOKEN: SECRETS.ORIGIN_TOKENS,
      ORIGIN_ID: name,
      RTMP_HOST: "127.0.0.1",
      RTMP_PORT: "0",
      RUN_DIR: join(dataDir, name),
      PRIVATE_PORT: "0",
      DRAIN_SECONDS: "0",
      LOG_LEVEL: "warn",
      ...settings,
    };
    const origin = new Origin(readOriginConfig(environment, dataDir), log);
    origins.push(origin);
    return { origin, ports: await origin.start() };
  };
  const { origin, ports } = await startOrigin(options.origin);
  const rtmpPort = ports.rtmp;

  const { v1: api } = createApiClient(site, {
    apiKey: SECRETS.ADMIN_API_KEY,
    fetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(10_000) }),
  }).api;
  return {
    site,
    rtmpPort,
    privatePort: ports.privateHttp,
    startOrigin,
    originToken: SECRETS.ORIGIN_TOKENS,
    apiKey: SECRETS.ADMIN_API_KEY,
    origin,
    logs,
    api,
    async createStream(fields = {}) {
      const answer = await api.streams.$post({ json: { title: "Test stream", ...fields } });
      if (answer.status !== 201) throw new Error(`create: ${answer.status}`);
      return answer.json();
    },
    async getStream(id) {
      const answer = await api.streams[":id"].$get({ param: { id } });
      if (answer.status !== 200) throw new Error(`get: ${answer.status}`);
      return answer.json();
    },
    deleteStream: (id) => api.streams[":id"].$delete({ param: { id } }),
    async viewers(id, query = {}) {
      const answer = await api.streams[":id"].viewers.$get({ param: { id }, query });
      if (answer.status !== 200) throw new Error(`viewers: ${answer.status}`);
      return answer.json();
    },
    async sendMetadata(id, payload) {
      const answer = await api.streams[":id"].metadata.$post({ param: { id }, json: { payload } });
      if (answer.status !== 202) throw new Error(`metadata: ${answer.status} ${await answer.text()}`);
      return (await answer.json()).seq;
    },
    countObjects: (className) =>
      readdirSync(dataDir, { recursive: true, encoding: "utf8" }).filter(
        (path) => path.includes(className) && /[0-9a-f]{64}\.sqlite$/.test(path),
      ).length,
    edgePid: () => findListener(port),
    async crashEdge() {
      process.kill(findListener(port), "SIGKILL");
      await edge.miniflare.dispose();
      edge = await startEdge({ ...edgeOptions, port });
    },
    async stop() {
      for (const one of origins) await one.stop();
      await edge.miniflare.dispose();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** How a test encoder pushes. */
export interface EncoderOptions {
  seconds?: number;
  fps?: number;
  gopSeconds?: number;
  size?: string;
  /** Hz. */
  audioRate?: number;
}

/** A real FFmpeg that encodes a test picture with a tone and pushes it by RTMP in real time. */
export function startEncoder(rtmpPort: number, streamKey: string, options: EncoderOptions = {}): Encoder {
  const { seconds = 600, fps = 30, gopSeconds = 1, size = "320x180", audioRate = 48_000 } = options;
  return new Encoder([
    ...["-hide_banner", "-loglevel", "error", "-nostdin"],
    ...[
      "-re",
      "-f",
      "lavfi",
      "-i",
      `testsrc2=size=${size}:rate=${Math.round(fps * 1001)}/1001`,
      "-re",
      "-f",
      "lavfi",
      "-i",
      `sine=frequency=440:sample_rate=${audioRate}`,
    ],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"],
    ...["-g", String(Math.round(fps * gopSeconds)), "-sc_threshold", "0", "-b:v", "600k", "-c:a", "aac", "-b:a", "96k"],
    ...["-t", String(seconds), "-f", "flv", `rtmp://127.0.0.1:${rtmpPort}/live/${streamKey}`],
  ]);
}

/** An FFmpeg process under test. */
export class Encoder {
  readonly #child: ChildProcess;
  /** Exit code, null where a signal ended it. */
  readonly exited: Promise<number | null>;
  #stderr = "";

  constructor(args: string[]) {
    this.#child = spawn("ffmpeg", args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.on("data", (bytes: Buffer) => {
      this.#stderr += bytes.toString();
    });
    this.exited = new Promise((resolve) => this.#child.once("exit", (code) => resolve(code)));
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Ends the publish the way an encoder's stop button does. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.exited;
  }

  /** Dies in mid-stream, like a machine that loses power. */
  async crash(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}
