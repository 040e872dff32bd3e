import { Pool } from "undici";
import {
  type NextEpochRequest,
  PartsAnswer,
  type PartsHead,
  PublishAnswer,
  type PublishRequest,
  StandbyAnswer,
  type StandbyRequest,
} from "../../domain/protocol/origin-link.ts";
import type { Log } from "../log.ts";
import { EdgeHealth } from "./edge-health.ts";
import { MediaTurns } from "./media-turns.ts";
import { encodePartsBody } from "./parts-body.ts";

/** The edge answered no: trying again will not help. */
export class EdgeRefusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "EdgeRefusal";
    this.status = status;
    this.code = code;
  }
}

/** Nothing more of the epoch is taken. */
export function endsEpoch(error: EdgeRefusal): boolean {
  return error.code === "fenced" || error.code === "declared_differs" || error.status === 401;
}

/** The edge did not answer, or not now: trying again may help. */
export class EdgeUnavailable extends Error {
  override readonly name = "EdgeUnavailable";
}

/** Which epoch a call is for, and the proof that it is ours. */
export interface Lease {
  stream: string;
  epoch: number;
  lease: string;
}

interface Call {
  method: "GET" | "PUT" | "POST";
  path: string;
  headers: Record<string, string>;
  body: string | Uint8Array | null;
  timeoutMs: number;
  signal: AbortSignal | null;
}

interface Answer {
  status: number;
  text: string;
}

/** An answer that is lost here cannot be asked for again, so these wait longer. */
const OPENING_TIMEOUT_MS = 10_000;
const TIMEOUT_MS = 5_000;
/** Media gets a second more for each of these bytes: slower than that no stream is live. */
const BYTES_PER_SECOND = 128 << 10;
const CONNECT_TIMEOUT_MS = 3_000;
const PROBE_TIMEOUT_MS = 2_000;
const KEEP_ALIVE_MS = 15_000;
/** Of either kind, opened as they are needed: how many calls with media are under way is not decided here, and all other calls never wait. */
const CONNECTIONS = 256;
const MAX_ANSWER_BYTES = 1 << 20;

/** Calls of `/origin/v1`. Rejects with `EdgeRefusal` or `EdgeUnavailable`; neither ever names a key, token or lease. While the edge is known to be away, calls fail at once. */
export class EdgeClient {
  readonly health: EdgeHealth;
  /** Calls with media wait here for their turn, before they are made. */
  readonly turns = new MediaTurns();
  readonly #site: string;
  readonly #prefix: string;
  readonly #authorization: string;
  readonly #control: Pool;
  #media: Pool;

  /** @param log hears when the edge goes away, and when it is back */
  constructor(edgeUrl: string, token: string, log: Log | null = null) {
    const { origin, pathname } = new URL(edgeUrl);
    this.#site = origin;
    this.#prefix = pathname.replace(/\/$/, "");
    this.#authorization = `Bearer ${token}`;
    this.#control = createPool(origin);
    this.#media = createPool(origin);
    this.health = new EdgeHealth({ probe: () => this.#probe(), onAway: () => this.#dropMedia(), log });
  }

  /** Asks the edge to open an epoch; a backup may have to stand by instead. */
  publish(request: PublishRequest & { backup?: false }, signal: AbortSignal): Promise<PublishAnswer>;
  publish(request: PublishRequest, signal: AbortSignal): Promise<PublishAnswer | StandbyAnswer>;
  async publish(request: PublishRequest, signal: AbortSignal): Promise<PublishAnswer | StandbyAnswer> {
    return readOpening(await this.#open("/publish", {}, request, signal));
  }

  /** Asks whether a backup's turn has come. */
  async standby(stream: string, request: StandbyRequest, signal: AbortSignal): Promise<PublishAnswer | StandbyAnswer> {
    return readOpening(await this.#open(`/${stream}/standby`, {}, request, signal));
  }

  /** Opens the next epoch of the encoder that holds this one. */
  async next(lease: Lease, request: NextEpochRequest, signal: AbortSignal): Promise<PublishAnswer> {
    const answer = await this.#open(`/${lease.stream}/${lease.epoch}/next`, { Lease: lease.lease }, request, signal);
    return understand(() => PublishAnswer.parse(JSON.parse(answer.text)));
  }

  /** A call within an epoch; `path` is below it. It never waits behind media. Bytes are not copied and may not change before it is through. Returns the answer's JSON, or null where there is none. */
  call(lease: Lease, method: "PUT" | "POST", path: string, body: Uint8Array | object, signal?: AbortSignal): Promise<unknown> {
    const bytes = body instanceof Uint8Array ? body : JSON.stringify(body);
    return this.#within(this.#control, lease, method, path, bytes, signal ?? null);
  }

  /** Puts media, in a turn that was taken before; else as `call`. */
  async media(lease: Lease, path: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#timed(() => this.#within(this.#media, lease, "PUT", path, bytes, signal));
  }

  /** Sends parts in one call, in a turn that was taken before. */
  async parts(lease: Lease, head: PartsHead, bytes: readonly Uint8Array[], signal: AbortSignal): Promise<PartsAnswer> {
    const body = encodePartsBody(head, bytes);
    const answer = await this.#timed(() => this.#within(this.#media, lease, "POST", "/parts", body, signal));
    return understand(() => {
      const answers = PartsAnswer.parse(answer);
      if (answers.parts.length !== head.parts.length) throw new RangeError("an answer for each part");
      return answers;
    });
  }

  /** Ends all connections. Calls that are under way fail. */
  async close(): Promise<void> {
    this.health.close();
    await Promise.all([this.#media.destroy(), this.#control.destroy()]);
  }

  async #within(
    pool: Pool,
    lease: Lease,
    method: "PUT" | "POST",
    path: string,
    body: Uint8Array | string,
    signal: AbortSignal | null,
  ): Promise<unknown> {
    const { text } = await this.#request(pool, {
      method,
      path: `${this.#prefix}/origin/v1/${lease.stream}/${lease.epoch}${path}`,
      headers: { Lease: lease.lease },
      body,
      timeoutMs: TIMEOUT_MS + (body.length / BYTES_PER_SECOND) * 1000,
      signal,
    });
    return text === "" ? null : understand(() => JSON.parse(text));
  }

  /** Notes how long the edge took to answer. */
  async #timed<Value>(call: () => Promise<Value>): Promise<Value> {
    const startedAt = performance.now();
    try {
      const value = await call();
      this.turns.answered(performance.now() - startedAt);
      return value;
    } catch (error) {
      if (error instanceof EdgeRefusal) this.turns.answered(performance.now() - startedAt);
      throw error;
    }
  }

  #open(path: string, headers: Record<string, string>, body: object, signal: AbortSignal): Promise<Answer> {
    return this.#request(this.#control, {
      method: "POST",
      path: `${this.#prefix}/origin/v1${path}`,
      headers,
      body: JSON.stringify(body),
      timeoutMs: OPENING_TIMEOUT_MS,
      signal,
    });
  }

  async #request(pool: Pool, call: Call): Promise<Answer> {
    if (this.health.away) throw new EdgeUnavailable("the edge does not answer");
    const startedAt = performance.now();
    let answer: Answer;
    try {
      answer = await send(pool, { ...call, headers: { ...call.headers, Authorization: this.#authorization } });
    } catch (error) {
      const reason = error instanceof Error ? error.message : "unknown reason";
      if (call.signal?.aborted !== true) this.health.unanswered(startedAt, reason);
      throw new EdgeUnavailable(`the edge does not answer: ${reason}`);
    }
    this.health.answered();
    if (answer.status < 300) return answer;
    const refusal = parseRefusal(answer.text);
    const message = refusal.message ?? `the edge answered ${answer.status}`;
    if (answer.status >= 500 || answer.status === 429) throw new EdgeUnavailable(message);
    throw new EdgeRefusal(answer.status, refusal.error ?? "refused", message);
  }

  /** Asks for the edge's sign of life; any answer of the Worker's is one. */
  async #probe(): Promise<boolean> {
    const path = `${this.#prefix}/health`;
    const call: Call = { method: "GET", path, headers: {}, body: null, timeoutMs: PROBE_TIMEOUT_MS, signal: null };
    return send(this.#control, call).then(
      ({ status }) => status < 500,
      () => false,
    );
  }

  /** Calls that hang on a connection of before will get no answer on it; they are repeated on a new one. */
  #dropMedia(): void {
    const old = this.#media;
    this.#media = createPool(this.#site);
    void old.destroy();
  }
}

function createPool(site: string): Pool {
  return new Pool(site, {
    connections: CONNECTIONS,
    allowH2: false,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxResponseSize: MAX_ANSWER_BYTES,
  });
}

async function send(pool: Pool, { method, path, headers, body, timeoutMs, signal }: Call): Promise<Answer> {
  const type = typeof body === "string" ? { "Content-Type": "application/json" } : {};
  const answer = await pool.request({
    ...{ method, path, body, signal, headers: { ...headers, ...type } },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  });
  return { status: answer.statusCode, text: await answer.body.text() };
}

function readOpening({ status, text }: Answer): PublishAnswer | StandbyAnswer {
  return understand(() => (status === 202 ? StandbyAnswer : PublishAnswer).parse(JSON.parse(text)));
}

/** Something before the edge may answer in its place, with a page of its own. */
function understand<Value>(read: () => Value): Value {
  try {
    return read();
  } catch {
    throw new EdgeUnavailable("the edge's answer is not one of its own: check EDGE_URL, and what stands before the edge");
  }
}

function parseRefusal(text: string): { error?: string; message?: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return {};
    const { error, message } = value as Record<string, unknown>;
    return { ...(typeof error === "string" ? { error } : {}), ...(typeof message === "string" ? { message } : {}) };
  } catch {
    return {};
  }
}
