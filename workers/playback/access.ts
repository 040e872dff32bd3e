import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { NovaError } from "../../domain/errors.ts";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import type { Millis } from "../../domain/time.ts";
import { Streams } from "../store/streams.ts";
import { liveStream, type Surface } from "../surface.ts";
import { playbackKeysOf } from "./playback-token.ts";
import { SingleFlight } from "./single-flight.ts";

/** How soon a changed visibility holds everywhere. */
const KNOWN_MS: Millis = 30_000;
const MAX_STREAMS = 1_000;
/** How long viewers of a deleted stream may see its end. */
const PLAY_OUT_MS: Millis = 60_000;
const D1_PATIENCE_MS: Millis = 2_000;
const OBJECT_PATIENCE_MS: Millis = 5_000;

/** Asks who may play a stream; null where there is no such stream. */
type LookUp = () => Promise<Visibility | null>;

/** Who may play which stream, as far as this isolate knows: one look-up serves all who ask within half a minute. */
export class Access {
  readonly #clock: () => Millis;
  readonly #flights = new SingleFlight<Visibility | null>();
  /** Oldest first. */
  readonly #known = new Map<StreamId, { visibility: Visibility; until: Millis }>();

  constructor(clock: () => Millis) {
    this.#clock = clock;
  }

  /** What is known without asking; null where nothing is. */
  known(stream: StreamId): Visibility | null {
    const kept = this.#known.get(stream);
    return kept !== undefined && kept.until > this.#clock() ? kept.visibility : null;
  }

  /** A stream's visibility, looked up where it is not known. Rejects as `lookUp` does; a failure and a null are not kept. */
  async visibilityOf(stream: StreamId, lookUp: LookUp, keepAlive: (call: Promise<unknown>) => void): Promise<Visibility | null> {
    const known = this.known(stream);
    if (known !== null) return known;
    const call = async () => {
      const visibility = await lookUp();
      if (visibility !== null) this.#keep(stream, visibility);
      return visibility;
    };
    return this.#flights.run(stream, call, keepAlive);
  }

  #keep(stream: StreamId, visibility: Visibility): void {
    this.#known.delete(stream);
    this.#known.set(stream, { visibility, until: this.#clock() + KNOWN_MS });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_STREAMS && oldest !== undefined) this.#known.delete(oldest);
  }
}

const access = new Access(Date.now);

/**
 * Lets whoever asks play a stream, or throws: 401 `token_required`, 401 `token_invalid`, 404 `stream_not_found`, 410 `gone`, 503
 * `signing_not_configured`, 503 `unavailable`. A token is proven wherever it is shown; a good one makes every look-up needless.
 */
export async function authorizePlayback(c: Context<Surface>, stream: StreamId, token: string | undefined): Promise<void> {
  if (token !== undefined) return verifyPlaybackToken(c.env, stream, token);
  const visibility = await access.visibilityOf(
    stream,
    () => lookUpVisibility(c.env, stream),
    (call) => c.executionCtx.waitUntil(call),
  );
  if (visibility === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
  if (visibility === "signed") {
    throw new NovaError(401, "token_required", "this stream plays with a playback token only: ask for one where you found the stream");
  }
}

/** Proves a playback token of a stream, or throws 401 `token_invalid`, 503 `signing_not_configured`. */
export async function verifyPlaybackToken(env: Env, stream: StreamId, token: string): Promise<void> {
  const keys = await playbackKeysOf(env.PLAYBACK_KEYS);
  await keys.verify(token, stream, Date.now());
}

/**
 * What fills a playback request, for those who may have it. Where it has to be looked up who may, the fill begins meanwhile, so that public
 * streams start no later; a refusal wins over whatever the fill says. Throws as `authorizePlayback`.
 */
export async function fillFor(c: Context<Surface>, stream: StreamId, fill: () => Promise<Response>): Promise<Response> {
  const token = c.req.param("token");
  const allowed = authorizePlayback(c, stream, token);
  if (token !== undefined || access.known(stream) !== null) {
    await allowed;
    return fill();
  }
  const answer = fill();
  // It may fail while the look-up is still under way: who waits for it hears of it below.
  answer.catch(() => undefined);
  try {
    await allowed;
  } catch (error) {
    c.executionCtx.waitUntil(answer.then((refused) => refused.body?.cancel()).catch(() => undefined));
    throw error;
  }
  return answer;
}

/** What a token holder gets is kept by no cache on the way: its address holds the token. */
export const privateToHolder = createMiddleware<Surface>(async (c, next) => {
  await next();
  c.header("Cache-Control", "private, no-store");
});

/** From D1, so that a recording's playback does not wake its object; from the object where D1 does not answer, or has lost the row. */
async function lookUpVisibility(env: Env, stream: StreamId): Promise<Visibility | null> {
  try {
    const found = await within(D1_PATIENCE_MS, new Streams(env.DB).findVisibility(stream));
    // Caches may hold media of a deleted stream for long: who asks for it is refused here.
    if (found?.deletedAt != null && found.deletedAt + PLAY_OUT_MS < Date.now()) throw new NovaError(410, "gone", "this stream was deleted");
    if (found !== null) return found.visibility;
  } catch (error) {
    if (error instanceof NovaError) throw error;
    logFailure("d1", stream, error);
  }
  try {
    return await within(OBJECT_PATIENCE_MS, liveStream(env, stream).visibility());
  } catch (error) {
    logFailure("object", stream, error);
    throw new NovaError(503, "unavailable", "nobody can tell right now who may play this stream: try again in a few seconds");
  }
}

function logFailure(asked: "d1" | "object", stream: StreamId, error: unknown): void {
  console.error(JSON.stringify({ event: "visibility_lookup_failed", asked, stream, error: String(error) }));
}

/** An answer that comes in time; rejects where it does not. */
async function within<Answer>(patience: Millis, answer: Promise<Answer>): Promise<Answer> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${patience} ms`)), patience);
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
