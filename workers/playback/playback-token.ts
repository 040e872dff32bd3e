import { base64url, CompactSign, type CryptoKey, compactVerify, importJWK } from "jose";
import { z } from "zod";
import { NovaError } from "../../domain/errors.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import type { Millis } from "../../domain/time.ts";

declare global {
  interface __BaseEnv_Env {
    /** Keys of playback tokens, a JWK Set as JSON. Optional: without it no signed stream plays, and everything else works. */
    PLAYBACK_KEYS?: string;
  }
}

/** What a token says: which stream it opens, and when (Unix seconds, as in any JWT). */
export interface PlaybackClaims {
  sub: StreamId;
  exp: number;
  nbf?: number;
}

type Algorithm = "EdDSA" | "HS256";

interface PlaybackKey {
  kid: string;
  /** The only algorithm that this key is ever used with. */
  algorithm: Algorithm;
  verifying: CryptoKey;
  /** Null for a public key alone. */
  signing: CryptoKey | null;
}

/** Clocks of minting backends and of the edge may differ by this much; it holds for `nbf` and for `exp`. */
const LEEWAY_SECONDS = 15;
const MAX_TOKEN_LENGTH = 2048;
const MAX_KEYS = 16;
/** The one audience that a token may name, if it names any (rfc7519 §4.1.3). */
const AUDIENCE = "nova-playback";
/** Three parts of base64url, each in its only spelling: no padding, and no stray bits at a part's end. */
const COMPACT_JWS = /^(?:(?:[\w-]{4})*(?:[\w-]{4}|[\w-]{2}[AEIMQUYcgkosw048]|[\w-][AQgw])(?:\.(?!$)|$)){3}$/;

const kid = z.string().min(1).max(64);
const secret = z.string().regex(/^[\w-]+$/, "must be base64url");
const use = z.literal("sig").optional();
const JwkSet = z.object({
  keys: z
    .array(
      z.discriminatedUnion("kty", [
        z.object({ kty: z.literal("oct"), kid, use, alg: z.literal("HS256").default("HS256"), k: secret }),
        z.object({
          kty: z.literal("OKP"),
          crv: z.literal("Ed25519"),
          kid,
          use,
          alg: z.literal("EdDSA").default("EdDSA"),
          x: secret,
          d: secret.optional(),
        }),
      ]),
    )
    .min(1)
    .max(MAX_KEYS),
});
type Jwk = z.output<typeof JwkSet>["keys"][number];

/** Extensions (`crit`, and `b64` which is one) are for others: a token that has any is refused, known or not. */
const Header = z.object({
  alg: z.enum(["EdDSA", "HS256"]),
  kid,
  typ: z
    .string()
    .regex(/^(application\/)?jwt$/i)
    .optional(),
  crit: z.never().optional(),
  b64: z.never().optional(),
});

/** Up to the last second that a `Date` can tell: JSON can spell numbers that never come. */
const numericDate = z.number().nonnegative().max(8.64e12);
const Claims = z.object({
  sub: z.string(),
  exp: numericDate,
  nbf: numericDate.optional(),
  aud: z.union([z.literal(AUDIENCE), z.array(z.string()).refine((audiences) => audiences.includes(AUDIENCE))]).optional(),
});

/** `PLAYBACK_KEYS` is missing, or is not what it should be. The message says what to mend, and holds nothing of the keys. */
export class PlaybackKeysError extends Error {}

/** The keys that playback tokens are signed and checked with. Several are valid at once, so that they can be rotated. */
export class PlaybackKeys {
  readonly #byId: ReadonlyMap<string, PlaybackKey>;

  private constructor(keys: PlaybackKey[]) {
    this.#byId = new Map(keys.map((key) => [key.kid, key]));
  }

  /** Reads `PLAYBACK_KEYS`. Rejects with a `PlaybackKeysError`. */
  static async parse(text: string | undefined): Promise<PlaybackKeys> {
    if (text === undefined || text.trim() === "") throw new PlaybackKeysError("PLAYBACK_KEYS is not set");
    const input = parseJson(text);
    if (input === undefined) throw new PlaybackKeysError("PLAYBACK_KEYS is not valid JSON");
    const set = JwkSet.safeParse(input);
    if (!set.success) throw new PlaybackKeysError(`PLAYBACK_KEYS: ${describeIssue(set.error)}`);
    const keys = await Promise.all(set.data.keys.map(importKey));
    if (new Set(keys.map((key) => key.kid)).size !== keys.length) throw new PlaybackKeysError("PLAYBACK_KEYS: two keys have the same kid");
    return new PlaybackKeys(keys);
  }

  /** Makes a token with the first key that can sign. Throws a `PlaybackKeysError` where all keys are public ones. */
  async sign(claims: PlaybackClaims): Promise<string> {
    for (const { kid, algorithm, signing } of this.#byId.values()) {
      if (signing !== null) return signWith(signing, { alg: algorithm, kid }, claims);
    }
    throw new PlaybackKeysError("PLAYBACK_KEYS has no key that can sign: add one with `k` or `d`, or sign tokens in your own backend");
  }

  /**
   * The claims of a token that opens this stream now. Throws 401 `token_invalid`, with the cause in its words and in its details.
   * The signature is checked before anything is said of what it signs.
   */
  async verify(token: string, stream: StreamId, now: Millis): Promise<PlaybackClaims> {
    if (token.length > MAX_TOKEN_LENGTH || !COMPACT_JWS.test(token)) throw invalid("not signed by us");
    const header = parseStrictly(Header, base64url.decode(token.slice(0, token.indexOf("."))));
    const key = header === null ? undefined : this.#byId.get(header.kid);
    if (key === undefined || header?.alg !== key.algorithm) throw invalid("not signed by us");
    const { payload } = await compactVerify(token, key.verifying, { algorithms: [key.algorithm] }).catch(() => {
      throw invalid("not signed by us");
    });
    const claims = parseStrictly(Claims, payload);
    if (claims === null) throw invalid("not a playback token");
    const { sub, exp, nbf } = claims;
    if (sub !== stream) throw invalid("of another stream");
    if (exp + LEEWAY_SECONDS <= now / 1000) throw invalid("expired");
    if (nbf !== undefined && nbf - LEEWAY_SECONDS > now / 1000) throw invalid("not yet valid");
    return nbf === undefined ? { sub: stream, exp } : { sub: stream, exp, nbf };
  }
}

let parsed: { text: string | undefined; keys: PlaybackKeys | PlaybackKeysError } | null = null;

/**
 * This deployment's keys, parsed once in an isolate. Throws 503 `signing_not_configured`: what exactly is wrong stands in the log, and in
 * the answer only for a caller who is `trusted`.
 */
export async function playbackKeysOf(text: string | undefined, trusted = false): Promise<PlaybackKeys> {
  if (parsed === null || parsed.text !== text) {
    const keys = await PlaybackKeys.parse(text).catch((error: unknown) => {
      if (error instanceof PlaybackKeysError) return error;
      throw error;
    });
    if (keys instanceof PlaybackKeysError) console.error(JSON.stringify({ event: "signing_not_configured", error: keys.message }));
    // Kept as a value: a promise would hang with the request that began it.
    parsed = { text, keys };
  }
  const { keys } = parsed;
  if (keys instanceof PlaybackKeysError) throw notConfigured(trusted ? keys.message : "its operator finds the reason in the log");
  return keys;
}

/** The refusal where no token can be checked, or made. */
export function notConfigured(reason: string): NovaError {
  return new NovaError(503, "signing_not_configured", `playback tokens do not work on this deployment: ${reason}`);
}

/** A path for the log, without the playback token that it may hold, wherever that stands. */
export function redactPath(path: string): string {
  return path.replace(/^\/+t\/+[^/]*/i, "/t/[token]").replace(/\beyJ[\w-]*(\.[\w-]*)*/g, "[token]");
}

async function importKey(jwk: Jwk, index: number): Promise<PlaybackKey> {
  const broken = (reason: string) => new PlaybackKeysError(`PLAYBACK_KEYS: keys.${index}: ${reason}`);
  const { kid, alg: algorithm } = jwk;
  try {
    if (jwk.kty === "oct") {
      const bytes = Uint8Array.from(base64url.decode(jwk.k));
      // rfc7518 §3.2: a key at least as long as the hash.
      if (bytes.length < 32) throw broken("k is shorter than 32 bytes");
      const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
      return { kid, algorithm, verifying: key, signing: key };
    }
    const { kty, crv, x, d } = jwk;
    const verifying = (await importJWK({ kty, crv, x }, algorithm)) as CryptoKey;
    const signing = d === undefined ? null : ((await importJWK({ kty, crv, x, d }, algorithm)) as CryptoKey);
    if (signing !== null) await assertPair(signing, verifying, broken);
    return { kid, algorithm, verifying, signing };
  } catch (error) {
    throw error instanceof PlaybackKeysError ? error : broken("cannot be read as a key");
  }
}

/** Halves that are not of one pair would make tokens that nobody accepts. */
async function assertPair(signing: CryptoKey, verifying: CryptoKey, broken: (reason: string) => PlaybackKeysError): Promise<void> {
  const probe = await signWith(signing, { alg: "EdDSA" }, {});
  await compactVerify(probe, verifying, { algorithms: ["EdDSA"] }).catch(() => {
    throw broken("d and x are not of one pair");
  });
}

function signWith(key: CryptoKey, header: { alg: Algorithm; kid?: string }, claims: object): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims))).setProtectedHeader(header).sign(key);
}

/** A part of a token by a schema; null where it is not what it should be, or where two readers could read it differently. */
function parseStrictly<Schema extends z.ZodType>(schema: Schema, bytes: Uint8Array): z.output<Schema> | null {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
  const result = schema.safeParse(parseJson(text));
  return result.success && !repeatsName(text) ? result.data : null;
}

/** Whether a name comes twice among an object's own members: which one counts is then up to the reader (rfc7519 §4). */
function repeatsName(json: string): boolean {
  const names = new Set<string>();
  let depth = 0;
  for (const [token, quoted] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (quoted !== undefined && depth === 1) {
      const name = JSON.parse(quoted) as string;
      if (names.has(name)) return true;
      names.add(name);
    }
  }
  return false;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The runtime's own words quote the text.
    return undefined;
  }
}

/** The first thing that is wrong, by its place. The schema's own words name what is expected, never what was found. */
function describeIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return `${issue?.path.join(".") || "the whole"}: ${issue?.message ?? "not a JWK Set"}`;
}

type InvalidCause = "expired" | "not yet valid" | "of another stream" | "not signed by us" | "not a playback token";

function invalid(cause: InvalidCause): NovaError {
  return new NovaError(401, "token_invalid", `this playback token is ${cause}: ask for a new one where you got it`, { cause });
}
