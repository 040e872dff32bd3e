import { env } from "cloudflare:workers";
import fc from "fast-check";
import { base64url, CompactSign, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { describe, expect, it, vi } from "vitest";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { Access } from "../../workers/playback/access.ts";
import { PlaybackKeys, playbackKeysOf, redactPath } from "../../workers/playback/playback-token.ts";
import { randomBytes, streamIdsOf } from "../../workers/store/tokens.ts";

const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;

const stream = await streamIdsOf(env).mint(randomBytes);
const otherStream = await streamIdsOf(env).mint(randomBytes);
const oct = { kty: "oct", kid: "shared", alg: "HS256", k: base64url.encode(randomBytes(32)) };
const pair = await generateKeyPair("EdDSA", { extractable: true });
const okp = { ...(await exportJWK(pair.privateKey)), kid: "pair", alg: "EdDSA" };
const { d: _, ...publicOkp } = okp;
const stranger = { ...(await exportJWK((await generateKeyPair("EdDSA", { extractable: true })).privateKey)), alg: "EdDSA" };

const parse = (...keys: object[]) => PlaybackKeys.parse(JSON.stringify({ keys }));
const keys = await parse(oct, publicOkp);
const claims = { sub: stream, exp: SECONDS + 600 };

function encode(value: unknown): string {
  return base64url.encode(typeof value === "string" ? value : JSON.stringify(value));
}

async function signHmac(header: unknown, payload: unknown, secret: Uint8Array): Promise<string> {
  const input = `${encode(header)}.${encode(payload)}`;
  const raw = Uint8Array.from(secret);
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return `${input}.${base64url.encode(new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(input))))}`;
}

/** A token with the shared secret, of whatever header and payload: texts stay as they are. */
const signed = (payload: unknown = claims, header: unknown = { alg: "HS256", kid: "shared" }) =>
  signHmac(header, payload, base64url.decode(oct.k));

async function signEd25519(jwk: JWK, header: object = {}, payload: object = claims): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(payload));
  return new CompactSign(bytes).setProtectedHeader({ alg: "EdDSA", kid: "pair", ...header }).sign(await importJWK(jwk));
}

const valid = await signed();
const [head, body, signature] = valid.split(".") as [string, string, string];
/** The same bytes, spelled with a stray bit at the end: 32 bytes leave two bits unused. */
const respelled = valid.slice(0, -1) + String.fromCharCode(valid.charCodeAt(valid.length - 1) + 1);

describe("a good token", () => {
  it.each([
    ["signed with the shared secret", () => signed()],
    ["signed with the private key, checked with the public one", () => signEd25519(okp)],
    ["with a type", () => signed(claims, { alg: "HS256", kid: "shared", typ: "JWT" })],
    ["with claims that are not ours", () => signed({ ...claims, iat: SECONDS, jti: "1", name: { sub: "x" }, list: ["exp", "exp"] })],
    ["for our audience", () => signed({ ...claims, aud: ["others", "nova-playback"] })],
    ["with names repeated only further in", () => signed(`{"a":{"sub":"x"},"b":["sub"],"sub":"${stream}","exp":${claims.exp}}`)],
    [
      "spaced and escaped as some libraries do",
      () => signed(`{"sub" : "${stream}", "iss": "https:\\/\\/shop.test\\"{", "exp": ${claims.exp}.5 }`),
    ],
    ["begun a moment ahead, by a clock that is fast", () => signed({ ...claims, nbf: SECONDS + 15 })],
    ["ended a moment ago, by a clock that is slow", () => signed({ ...claims, exp: SECONDS - 14 })],
  ])("is accepted: %s", async (_name, make) => {
    expect((await keys.verify(await make(), stream, NOW)).sub).toBe(stream);
  });

  it("comes back with what it was signed with, by the first key that can sign", async () => {
    const minting = await parse(publicOkp, oct, { ...okp, kid: "second" });
    const token = await minting.sign({ ...claims, nbf: SECONDS });
    expect(JSON.parse(new TextDecoder().decode(base64url.decode(token.split(".")[0] as string)))).toEqual({ alg: "HS256", kid: "shared" });
    expect(await minting.verify(token, stream, NOW)).toEqual({ ...claims, nbf: SECONDS });
    const ed25519 = await parse(okp);
    expect(await ed25519.verify(await ed25519.sign(claims), stream, NOW)).toEqual(claims);
    await expect((await parse(publicOkp)).sign(claims)).rejects.toThrow("no key that can sign");
  });

  it("outlives a rotation while its key is in the set", async () => {
    const next = { ...oct, kid: "next", k: base64url.encode(randomBytes(32)) };
    expect(await (await parse(next, oct)).verify(valid, stream, NOW)).toEqual(claims);
    await expect((await parse(next)).verify(valid, stream, NOW)).rejects.toMatchObject({ details: { cause: "not signed by us" } });
  });
});

describe("a bad token", () => {
  const hs = { alg: "HS256", kid: "shared" };
  const publicBytes = base64url.decode(okp.x as string);
  const table: [string, string, string | (() => Promise<string>)][] = [
    ["nothing", "not signed by us", ""],
    ["alg none, unsigned", "not signed by us", `${encode({ alg: "none" })}.${body}.`],
    ["alg none with our kid and a signature", "not signed by us", () => signed(claims, { ...hs, alg: "none" })],
    ["alg NONE", "not signed by us", () => signed(claims, { ...hs, alg: "NONE" })],
    ["alg in lower case", "not signed by us", () => signed(claims, { ...hs, alg: "hs256" })],
    ["no alg", "not signed by us", () => signed(claims, { kid: "shared" })],
    ["alg a list", "not signed by us", () => signed(claims, { ...hs, alg: ["HS256"] })],
    ["alg HS512", "not signed by us", () => signed(claims, { ...hs, alg: "HS512" })],
    ["alg Ed25519 by its other name", "not signed by us", () => signed(claims, { kid: "pair", alg: "Ed25519" })],
    ["HS256 with the public key as secret", "not signed by us", () => signHmac({ alg: "HS256", kid: "pair" }, claims, publicBytes)],
    [
      "HS256 with the public key's text",
      "not signed by us",
      () => signHmac({ alg: "HS256", kid: "pair" }, claims, new TextEncoder().encode(okp.x)),
    ],
    ["EdDSA said of the shared secret", "not signed by us", () => signed(claims, { alg: "EdDSA", kid: "shared" })],
    ["EdDSA said of the pair, signed by the secret", "not signed by us", () => signed(claims, { alg: "EdDSA", kid: "pair" })],
    ["the pair's signature under the secret's kid", "not signed by us", () => signEd25519(okp, { kid: "shared" })],
    ["the secret's signature under the pair's kid", "not signed by us", () => signed(claims, { ...hs, kid: "pair" })],
    ["unknown kid", "not signed by us", () => signed(claims, { ...hs, kid: "other" })],
    ["no kid", "not signed by us", () => signed(claims, { alg: "HS256" })],
    ["kid a number", "not signed by us", () => signed(claims, { ...hs, kid: 1 })],
    ["kid the name of an object's own member", "not signed by us", () => signed(claims, { ...hs, kid: "__proto__" })],
    ["a stranger's key", "not signed by us", () => signEd25519(stranger)],
    ["a stranger's key brought along", "not signed by us", () => signEd25519(stranger, { jwk: { ...publicOkp, x: stranger.x as string } })],
    ["a stranger's secret", "not signed by us", () => signHmac(hs, claims, randomBytes(32))],
    ["an empty secret", "not signed by us", () => signHmac(hs, claims, new Uint8Array(1))],
    ["crit unknown", "not signed by us", () => signed(claims, { ...hs, crit: ["exp2"], exp2: 1 })],
    ["crit empty", "not signed by us", () => signed(claims, { ...hs, crit: [] })],
    ["crit b64, true", "not signed by us", () => signed(claims, { ...hs, crit: ["b64"], b64: true })],
    ["b64 false", "not signed by us", () => signed(claims, { ...hs, crit: ["b64"], b64: false })],
    ["b64 false, unannounced", "not signed by us", () => signed(claims, { ...hs, b64: false })],
    ["of another type", "not signed by us", () => signed(claims, { ...hs, typ: "at+jwt" })],
    ["header null", "not signed by us", () => signed(claims, "null")],
    ["header a list", "not signed by us", () => signed(claims, [hs])],
    ["header with alg twice", "not signed by us", () => signed(claims, '{"alg":"none","alg":"HS256","kid":"shared"}')],
    ["header with alg twice, once escaped", "not signed by us", () => signed(claims, '{"\\u0061lg":"none","alg":"HS256","kid":"shared"}')],
    ["JWE", "not signed by us", `${encode({ alg: "dir", enc: "A256GCM", kid: "shared" })}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA`],
    ["JSON serialisation", "not signed by us", JSON.stringify({ protected: head, payload: body, signature })],
    ["two signatures", "not signed by us", `${valid}.${signature}`],
    ["trailing bytes", "not signed by us", `${valid}AAAA`],
    ["trailing dot", "not signed by us", `${valid}.`],
    ["leading dot", "not signed by us", `.${valid}`],
    ["truncated by one", "not signed by us", valid.slice(0, -1)],
    ["truncated by four", "not signed by us", valid.slice(0, -4)],
    ["no signature", "not signed by us", `${head}.${body}.`],
    ["two parts", "not signed by us", `${head}.${body}`],
    ["empty parts", "not signed by us", ".."],
    ["empty payload", "not signed by us", `${head}..${signature}`],
    ["empty header", "not signed by us", `.${body}.${signature}`],
    ["parts swapped", "not signed by us", `${body}.${head}.${signature}`],
    ["padding", "not signed by us", `${valid}=`],
    ["another spelling of the same signature", "not signed by us", respelled],
    ["whitespace after", "not signed by us", `${valid}\n`],
    ["whitespace within", "not signed by us", `${head}.${body}. ${signature}`],
    ["a NUL after", "not signed by us", `${valid}\0`],
    ["unicode", "not signed by us", `${head}.${body}.${signature.slice(0, -1)}\u{1D7D9}`],
    ["full-width dots", "not signed by us", valid.replaceAll(".", "\uff0e")],
    ["the other base64", "not signed by us", `${head}.${body}.${signature.slice(0, -2)}+/`],
    ["10 KB of letters", "not signed by us", "A".repeat(10_240)],
    ["10 KB, well signed", "not signed by us", () => signed({ ...claims, more: "x".repeat(10_240) })],
    ["10 KB of dots", "not signed by us", ".".repeat(10_240)],
    ["other claims under the signature", "not signed by us", `${head}.${encode({ ...claims, sub: otherStream })}.${signature}`],
    ["payload no JSON", "not a playback token", () => signed("sub")],
    ["payload a list", "not a playback token", () => signed([claims])],
    ["payload null", "not a playback token", () => signed("null")],
    ["payload after a byte order mark", "not a playback token", () => signed(`\ufeff${JSON.stringify(claims)}`)],
    ["no sub", "not a playback token", () => signed({ exp: claims.exp })],
    ["sub null", "not a playback token", () => signed({ ...claims, sub: null })],
    ["sub a list of streams", "not a playback token", () => signed({ ...claims, sub: [stream] })],
    ["sub of another stream", "of another stream", () => signed({ ...claims, sub: otherStream })],
    ["sub in capitals", "of another stream", () => signed({ ...claims, sub: stream.toUpperCase() })],
    ["sub with a space", "of another stream", () => signed({ ...claims, sub: `${stream} ` })],
    ["sub empty", "of another stream", () => signed({ ...claims, sub: "" })],
    ["sub a wildcard", "of another stream", () => signed({ ...claims, sub: "*" })],
    ["sub twice", "not a playback token", () => signed(`{"sub":"${otherStream}","exp":${claims.exp},"sub":"${stream}"}`)],
    ["exp twice", "not a playback token", () => signed(`{"exp":1,"sub":"${stream}","\\u0065xp":${claims.exp}}`)],
    ["no exp", "not a playback token", () => signed({ sub: stream })],
    ["exp null", "not a playback token", () => signed({ ...claims, exp: null })],
    ["exp a text", "not a playback token", () => signed({ ...claims, exp: String(claims.exp) })],
    ["exp without end", "not a playback token", () => signed(`{"sub":"${stream}","exp":1e999}`)],
    ["exp in milliseconds of a far future", "not a playback token", () => signed({ ...claims, exp: 8.64e15 })],
    ["exp negative", "not a playback token", () => signed({ ...claims, exp: -1 })],
    ["exp zero", "expired", () => signed({ ...claims, exp: 0 })],
    ["expired, past the leeway", "expired", () => signed({ ...claims, exp: SECONDS - 15 })],
    ["nbf ahead, past the leeway", "not yet valid", () => signed({ ...claims, nbf: SECONDS + 16 })],
    ["nbf a text", "not a playback token", () => signed({ ...claims, nbf: "0" })],
    ["nbf null", "not a playback token", () => signed({ ...claims, nbf: null })],
    ["for others", "not a playback token", () => signed({ ...claims, aud: "shop" })],
    ["for nobody", "not a playback token", () => signed({ ...claims, aud: [] })],
  ];

  it.each(table)("is refused: %s", async (_name, cause, token) => {
    const text = typeof token === "string" ? token : await token();
    const refusal = await keys.verify(text, stream, NOW).then(
      () => null,
      (error: unknown) => error,
    );
    expect(refusal).toMatchObject({ name: "NovaError", status: 401, code: "token_invalid", details: { cause } });
    if (text !== "" && text.length > 8) expect(JSON.stringify(refusal) + String(refusal)).not.toContain(text);
  });

  it("is what any token becomes by one other character", async () => {
    const both = [valid, await signEd25519(okp)];
    const character = fc.oneof(
      fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"),
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }),
    );
    const change = fc.record({
      token: fc.constantFrom(...both),
      at: fc.nat(),
      character,
      kind: fc.constantFrom("replace", "insert", "delete"),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ token, at, character, kind }) => {
        const place = at % token.length;
        const changed = token.slice(0, place) + (kind === "delete" ? "" : character) + token.slice(kind === "insert" ? place : place + 1);
        fc.pre(changed !== token);
        await expect(keys.verify(changed, stream, NOW)).rejects.toMatchObject({ code: "token_invalid" });
      }),
      { numRuns: 2000 },
    );
  });
});

describe("PLAYBACK_KEYS", () => {
  const short = base64url.encode(randomBytes(31));
  const { d: strangersD } = stranger;
  it.each<[string, string | undefined, string]>([
    ["missing", undefined, "PLAYBACK_KEYS is not set"],
    ["empty", " ", "PLAYBACK_KEYS is not set"],
    ["no JSON", `{"keys":[{"k":"${oct.k}"`, "PLAYBACK_KEYS is not valid JSON"],
    ["the bare key", JSON.stringify(oct), "PLAYBACK_KEYS: keys: "],
    ["no keys", '{"keys":[]}', "PLAYBACK_KEYS: keys: "],
    ["an RSA key", JSON.stringify({ keys: [oct, { kty: "RSA", kid: "r", n: "AQAB", e: "AQAB" }] }), "PLAYBACK_KEYS: keys.1.kty: "],
    ["a key without kid", JSON.stringify({ keys: [{ ...oct, kid: undefined }] }), "PLAYBACK_KEYS: keys.0.kid: "],
    ["one kid twice", JSON.stringify({ keys: [oct, { ...okp, kid: oct.kid }] }), "PLAYBACK_KEYS: two keys have the same kid"],
    ["a short secret", JSON.stringify({ keys: [okp, { ...oct, k: short }] }), "PLAYBACK_KEYS: keys.1: k is shorter than 32 bytes"],
    ["a secret for another algorithm", JSON.stringify({ keys: [{ ...oct, alg: "HS512" }] }), "PLAYBACK_KEYS: keys.0.alg: "],
    ["a pair for HS256", JSON.stringify({ keys: [{ ...okp, alg: "HS256" }] }), "PLAYBACK_KEYS: keys.0.alg: "],
    ["a key for encryption", JSON.stringify({ keys: [{ ...oct, use: "enc" }] }), "PLAYBACK_KEYS: keys.0.use: "],
    [
      "a secret that is not base64url",
      JSON.stringify({ keys: [{ ...oct, k: `${oct.k}+/` }] }),
      "PLAYBACK_KEYS: keys.0.k: must be base64url",
    ],
    ["another curve", JSON.stringify({ keys: [{ ...okp, crv: "X25519" }] }), "PLAYBACK_KEYS: keys.0.crv: "],
    ["half a public key", JSON.stringify({ keys: [{ ...publicOkp, x: "AAAA" }] }), "PLAYBACK_KEYS: keys.0: cannot be read as a key"],
    ["halves of two pairs", JSON.stringify({ keys: [{ ...okp, d: strangersD }] }), "PLAYBACK_KEYS: keys.0: "],
  ])("is refused in words that hold nothing of it: %s", async (_name, text, message) => {
    const error = await PlaybackKeys.parse(text).then(
      () => null,
      (reason: unknown) => reason as Error,
    );
    expect(error?.message).toContain(message);
    for (const secret of [oct.k, short, okp.d, strangersD, "AQAB"]) expect(error?.message).not.toContain(secret);
    await expect(playbackKeysOf(text)).rejects.toMatchObject({ status: 503, code: "signing_not_configured" });
    const told = await playbackKeysOf(text).catch((reason: Error) => reason.message);
    expect(told).not.toContain("keys.");
    await expect(playbackKeysOf(text, true)).rejects.toThrow(message);
  });

  it("may leave out what follows from the key's type", async () => {
    const { alg: _alg, ...bareOct } = oct;
    const bare = await parse(bareOct, { ...publicOkp, alg: undefined, use: "sig", key_ops: ["verify"], ext: true });
    expect(await bare.verify(valid, stream, NOW)).toEqual(claims);
    expect(await bare.verify(await signEd25519(okp), stream, NOW)).toEqual(claims);
  });

  it("is parsed once for as long as it is the same text, and again when it changes", async () => {
    const text = JSON.stringify({ keys: [oct] });
    const first = await playbackKeysOf(text);
    expect(await playbackKeysOf(text)).toBe(first);
    expect(await playbackKeysOf(JSON.stringify({ keys: [okp] }))).not.toBe(first);
    await expect(playbackKeysOf("{")).rejects.toMatchObject({ code: "signing_not_configured" });
    expect(await (await playbackKeysOf(text)).verify(valid, stream, NOW)).toEqual(claims);
  });
});

describe("Access", () => {
  const named = (name: number | string) => String(name) as StreamId;
  const drop = () => undefined;

  it("folds equal look-ups, keeps an answer for 30 s, and no failure", async () => {
    let now = 0;
    const access = new Access(() => now);
    const answers: (Visibility | null | Error)[] = [new Error("away"), null, "public", "signed"];
    const lookUp = vi.fn(async () => {
      const answer = answers.shift() ?? null;
      if (answer instanceof Error) throw answer;
      return answer;
    });
    const visibility = () => access.visibilityOf(named("a"), lookUp, drop);
    expect((await Promise.allSettled([visibility(), visibility()])).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(lookUp).toHaveBeenCalledTimes(1);
    expect(await visibility()).toBeNull();
    expect(access.known(named("a"))).toBeNull();
    expect(await Promise.all([visibility(), visibility()])).toEqual(["public", "public"]);
    now = 29_999;
    expect([access.known(named("a")), await visibility()]).toEqual(["public", "public"]);
    expect(lookUp).toHaveBeenCalledTimes(3);
    now = 30_000;
    expect(access.known(named("a"))).toBeNull();
    expect(await visibility()).toBe("signed");
  });

  it("remembers 1,000 streams, the latest", async () => {
    const access = new Access(() => 0);
    for (let i = 0; i <= 1000; i++) await access.visibilityOf(named(i), async () => "unlisted", drop);
    expect([access.known(named(0)), access.known(named(1)), access.known(named(1000))]).toEqual([null, "unlisted", "unlisted"]);
  });
});

describe("redactPath", () => {
  it.each([
    ["/t/abc.def.ghi/hls/x/index.m3u8", "/t/[token]/hls/x/index.m3u8"],
    ["/t/abc", "/t/[token]"],
    ["//t//abc/hls/x", "/t/[token]/hls/x"],
    ["/T/abc/time", "/t/[token]/time"],
    ["/hls/t/eyJhbGciOi.eyJzdWIi.c2ln/x", "/hls/t/[token]/x"],
    ["/t/x/eyJhbGciOi.eyJzdWIi", "/t/[token]/[token]"],
    ["/hls/x/source/index.m3u8", "/hls/x/source/index.m3u8"],
    ["/media/x/1/t/1-1.0.m4s", "/media/x/1/t/1-1.0.m4s"],
    ["/", "/"],
  ])("keeps tokens out of the log: %s", (path, redacted) => {
    expect(redactPath(path)).toBe(redacted);
  });
});
