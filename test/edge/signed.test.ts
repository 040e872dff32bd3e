import { listDurableObjectIds } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { StreamId } from "../../domain/stream-id.ts";
import worker from "../../workers/index.ts";
import { PlaybackKeys } from "../../workers/playback/playback-token.ts";
import { randomBytes, streamIdsOf } from "../../workers/store/tokens.ts";
import { askApi, askOnce, createStream, OriginCalls, SITE, textOf } from "./edge.ts";

interface Minted {
  token: string;
  expires_at: string;
  playback: { hls: string; dash: string };
  watch_url: string;
}

const keys = await PlaybackKeys.parse(env.PLAYBACK_KEYS);

async function liveStream(fields: Record<string, unknown> = { visibility: "signed" }) {
  const stream = await createStream(fields);
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await origin.pushSegments(1, 2);
  return { ...stream, origin };
}

async function mint(id: string, body: object = {}): Promise<Minted> {
  const answer = await askApi("POST", `/api/v1/streams/${id}/playback-tokens`, body);
  expect(answer.status).toBe(201);
  return answer.json();
}

function signFor(id: string, validity: { exp?: number; nbf?: number } = {}): Promise<string> {
  return keys.sign({ sub: id as StreamId, exp: Date.now() / 1000 + 600, ...validity });
}

/** A request to the Worker with other bindings, and what it waited for. */
async function askWith(bindings: object, path: string, init?: RequestInit): Promise<Response> {
  const waits: Promise<unknown>[] = [];
  const ctx = {
    waitUntil: (wait: Promise<unknown>) => waits.push(wait),
    passThroughOnException: () => undefined,
    exports,
    props: {},
    ...bindings,
  };
  const answer = await worker.fetch(new Request(SITE + path, init), { ...env, ...bindings }, ctx as unknown as ExecutionContext);
  await Promise.all(waits);
  return answer;
}

const pathsOf = (id: string) => [
  `/hls/${id}/index.m3u8`,
  `/hls/${id}/1/index.m3u8`,
  `/hls/${id}/source/index.m3u8`,
  `/hls/${id}/1/source/index.m3u8`,
  `/hls/${id}/1/source/index.m3u8?_HLS_msn=1`,
  `/hls/${id}/1/source/recording.m3u8`,
  `/dash/${id}/manifest.mpd`,
  `/dash/${id}/1/manifest.mpd`,
  `/media/${id}/1/source/init-1.mp4`,
  `/media/${id}/1/source/1-1.m4s`,
  `/media/${id}/1/source/1-1.0.m4s`,
  `/media/${id}/1/source/1-9.m4s`,
];

afterEach(() => vi.restoreAllMocks());

describe("a signed stream", () => {
  it("shows nothing to those without a token: not even what is there", async () => {
    const { id } = await liveStream();
    const pending = await createStream({ visibility: "signed" });
    for (const path of [...pathsOf(id), ...pathsOf(pending.id)]) {
      for (const [name, value] of [
        ["Accept", "*/*"],
        ["Range", "bytes=0-1"],
        ["Authorization", `Bearer ${await signFor(id)}`],
      ] as const) {
        const answer = await askOnce(path, { headers: { [name]: value } });
        expect([path, answer.status]).toEqual([path, 401]);
        expect(answer.headers.get("Cache-Control")).toBe("no-store");
        expect(answer.headers.get("Access-Control-Allow-Origin")).toBe("*");
        expect(answer.headers.get("ETag")).toBeNull();
        expect(await answer.json()).toMatchObject({ error: "token_required" });
      }
    }
    expect((await askOnce(`/hls/${id}/index.m3u8`, { method: "HEAD" })).status).toBe(401);
    expect((await askOnce(`/hls/${id}/index.m3u8?token=${await signFor(id)}`)).status).toBe(401);
  });

  it("plays under its token, by following the playlists", async () => {
    const { id } = await liveStream();
    const { playback } = await mint(id);
    const follow = async (from: string, pattern: RegExp) => {
      const answer = await askOnce(from.slice(SITE.length));
      expect([from, answer.status]).toEqual([from, 200]);
      expect(answer.headers.get("Cache-Control")).toBe("private, no-store");
      expect(answer.headers.get("Access-Control-Allow-Origin")).toBe("*");
      return [...(await textOf(answer)).matchAll(pattern)].map((match) => new URL(match[1] as string, from).href);
    };
    const [playlist] = await follow(playback.hls, /^([^#\n].*)$/gm);
    const media = await follow(playlist as string, /(?:URI="|^)([^#"\n]+\.(?:m4s|mp4))/gm);
    expect(media.length).toBeGreaterThan(3);
    for (const address of media.slice(0, 4)) {
      expect(address.startsWith(playback.hls.slice(0, playback.hls.indexOf("/hls/")))).toBe(true);
      await follow(address, /$^/g);
    }
    const [timing] = await follow(playback.dash, /UTCTiming[^>]*value="([^"]+)"/g);
    await follow(timing as string, /$^/g);
  });

  it("answers its holders privately, whatever part they ask for", async () => {
    const { id } = await liveStream();
    const base = `/t/${await signFor(id)}`;
    const media = `${base}/media/${id}/1/source/1-1.m4s`;
    const etag = (await askOnce(media)).headers.get("ETag") as string;
    const cases: [string, Record<string, string>, number][] = [
      [media, {}, 200],
      [media, { Range: "bytes=0-9" }, 206],
      [media, { Range: "bytes=999999-" }, 416],
      [media, { "If-None-Match": etag }, 304],
      [`${base}/hls/${id}/index.m3u8`, {}, 200],
      [`${base}/dash/${id}/manifest.mpd`, {}, 200],
      [`${base}/hls/${id}/none/index.m3u8`, {}, 404],
      [`${base}/hls/${id}/1/source/index.m3u8?_HLS_part=1`, {}, 400],
    ];
    for (const [path, headers, status] of cases) {
      const answer = await askOnce(path, { headers });
      expect([path, answer.status, answer.headers.get("Cache-Control")]).toEqual([path, status, "private, no-store"]);
      await answer.body?.cancel();
    }
    const head = await askOnce(media, { method: "HEAD" });
    expect([head.status, head.headers.get("Cache-Control")]).toEqual([200, "private, no-store"]);
    const preflight = await askOnce(media, {
      method: "OPTIONS",
      headers: { Origin: "https://shop.test", "Access-Control-Request-Method": "GET" },
    });
    expect([preflight.status, preflight.headers.get("Access-Control-Allow-Origin")]).toEqual([204, "*"]);
  });

  it("is filled once for all its holders: no token reaches a cache key", async () => {
    const { id } = await liveStream();
    const statuses: string[] = [];
    for (let exp = 1; exp <= 3; exp++) {
      const token = await signFor(id, { exp: Math.floor(Date.now() / 1000) + 600 + exp });
      statuses.push((await askOnce(`/t/${token}/media/${id}/1/source/1-1.m4s`)).headers.get("Cache-Status") ?? "");
    }
    expect(statuses[0]).toContain("fwd=miss");
    expect(statuses.slice(1)).toEqual(["nova-isolate; hit", "nova-isolate; hit"]);
  });

  it("says of a bad token what is wrong with it, and says it of any stream", async () => {
    const signed = await liveStream();
    const open = await liveStream({});
    const now = Date.now() / 1000;
    for (const { id } of [signed, open]) {
      const cases: [string, string][] = [
        ["expired", await signFor(id, { exp: now - 60 })],
        ["not yet valid", await signFor(id, { nbf: now + 60 })],
        ["of another stream", await signFor(id === open.id ? signed.id : open.id)],
        ["not signed by us", `${(await signFor(id)).slice(0, -4)}AAAA`],
        ["not signed by us", "x"],
        ["not signed by us", "a".repeat(10_000)],
      ];
      for (const [cause, token] of cases) {
        for (const path of [`/hls/${id}/index.m3u8`, `/media/${id}/1/source/1-1.m4s`, `/dash/${id}/manifest.mpd`]) {
          const answer = await askOnce(`/t/${token}${path}`);
          expect([answer.status, answer.headers.get("Access-Control-Allow-Origin")]).toEqual([401, "*"]);
          expect(answer.headers.get("Cache-Control")).toContain("no-store");
          const body = await answer.text();
          expect(JSON.parse(body)).toMatchObject({ error: "token_invalid", details: { cause } });
          if (token.length > 1) expect(body).not.toContain(token);
        }
      }
    }
    const onOpen = await askOnce(`/t/${await signFor(open.id)}/hls/${open.id}/index.m3u8`);
    expect([onOpen.status, onOpen.headers.get("Cache-Control")]).toEqual([200, "private, no-store"]);
    expect((await askOnce(`/hls/${open.id}/index.m3u8`)).headers.get("Cache-Control")).toBe("public, max-age=1");
  });

  it("refuses at once whom a blocking reload would hold", async () => {
    const { id } = await liveStream();
    const started = performance.now();
    for (let i = 0; i < 2; i++) expect((await askOnce(`/hls/${id}/1/source/index.m3u8?_HLS_msn=3`)).status).toBe(401);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it("opens its socket to holders only", async () => {
    const signed = await liveStream();
    const open = await liveStream({});
    const connect = (id: string, query: string) =>
      askOnce(`/api/v1/streams/${id}/ws?viewer=viewer-0001${query}`, { headers: { Upgrade: "websocket" } });
    const none = await connect(signed.id, "");
    expect([none.status, await none.json()]).toMatchObject([401, { error: "token_required" }]);
    for (const token of ["", "x", await signFor(open.id), await signFor(signed.id, { exp: 1 })]) {
      const refused = await connect(signed.id, `&token=${token}`);
      expect([refused.status, await refused.json()]).toMatchObject([401, { error: "token_invalid" }]);
    }
    for (const answer of [await connect(signed.id, `&token=${await signFor(signed.id)}`), await connect(open.id, "")]) {
      expect(answer.status).toBe(101);
      answer.webSocket?.accept();
      answer.webSocket?.close();
    }
  });
});

describe("who may play is known", () => {
  const away = {
    prepare() {
      throw new Error("D1_ERROR: away");
    },
  };
  const silent = { LIVE: { idFromName: () => null, get: () => ({ visibility: () => Promise.reject(new Error("overloaded")) }) } };

  it("for half a minute by one look-up, in D1, that wakes no object", async () => {
    const { id } = await createStream({ visibility: "signed" });
    const prepare = vi.fn(env.DB.prepare.bind(env.DB));
    const noObject = { idFromName: vi.fn(), get: vi.fn() };
    const fills = vi.fn(() => Promise.resolve(new Response("held", { status: 200 })));
    const bindings = { DB: { prepare }, LIVE: noObject, exports: { Media: { fetch: fills } } };
    const answers = await Promise.all(Array.from({ length: 5 }, () => askWith(bindings, `/hls/${id}/index.m3u8`)));
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
    expect(prepare).toHaveBeenCalledOnce();
    expect(noObject.get).not.toHaveBeenCalled();
    fills.mockClear();
    expect((await askWith(bindings, `/hls/${id}/index.m3u8`)).status).toBe(401);
    expect(prepare).toHaveBeenCalledOnce();
    // Known to be signed: nothing is filled for those who may not have it.
    expect(fills).not.toHaveBeenCalled();
  });

  it("from the object while D1 is away: what is live goes on, and what is signed stays closed", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const signed = await liveStream();
    const open = await liveStream({});
    const token = await signFor(signed.id);
    expect((await askWith({ DB: away }, `/hls/${open.id}/index.m3u8`)).status).toBe(200);
    expect((await askWith({ DB: away }, `/hls/${signed.id}/index.m3u8`)).status).toBe(401);
    expect((await askWith({ DB: away, ...silent }, `/t/${token}/hls/${signed.id}/index.m3u8`)).status).toBe(200);
    expect(log.mock.calls.join()).toContain('"asked":"d1"');
  });

  it("by nobody: then it is closed, and asked again", async () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    const { id } = await liveStream({});
    const answer = await askWith({ DB: away, ...silent }, `/hls/${id}/index.m3u8`);
    expect([answer.status, answer.headers.get("Cache-Control"), answer.headers.get("Retry-After")]).toEqual([503, "no-store", "5"]);
    expect(await answer.json()).toMatchObject({ error: "unavailable" });
    expect((await askOnce(`/hls/${id}/index.m3u8`)).status).toBe(200);
  });

  it("too, where the fill came first: what it brought is let go", async () => {
    const { id } = await createStream({ visibility: "signed" });
    const cancel = vi.fn();
    const Media = { fetch: () => Promise.resolve(new Response(new ReadableStream({ cancel }))) };
    expect((await askWith({ exports: { Media } }, `/media/${id}/1/source/1-1.m4s`)).status).toBe(401);
    expect(cancel).toHaveBeenCalledOnce();
    const failing = await createStream({ visibility: "signed" });
    const broken = { fetch: () => Promise.reject(new Error("broken")) };
    expect((await askWith({ exports: { Media: broken } }, `/media/${failing.id}/1/source/1-1.m4s`)).status).toBe(401);
  });

  it("of a stream that nobody knows: 404", async () => {
    const id = await streamIdsOf(env).mint(randomBytes);
    expect((await askOnce(`/hls/${id}/index.m3u8`)).status).toBe(404);
    const before = (await listDurableObjectIds(env.LIVE)).length;
    expect((await askOnce("/t/x/hls/0123456789abcdefghjkmnpq/index.m3u8")).status).toBe(404);
    expect((await listDurableObjectIds(env.LIVE)).length).toBe(before);
  });
});

describe("minting", () => {
  it("answers with a token, its end, and the addresses that it opens", async () => {
    const { id } = await liveStream();
    const before = Date.now();
    const { token, expires_at, playback, watch_url } = await mint(id);
    expect(await keys.verify(token, id as StreamId, Date.now())).toEqual({ sub: id, exp: Date.parse(expires_at) / 1000 });
    expect(Date.parse(expires_at)).toBeGreaterThanOrEqual(before + 3_599_000);
    expect(Date.parse(expires_at)).toBeLessThanOrEqual(Date.now() + 3_600_000);
    expect(playback).toEqual({
      hls: `${SITE}/t/${token}/hls/${id}/index.m3u8`,
      dash: `${SITE}/t/${token}/dash/${id}/manifest.mpd`,
    });
    expect(watch_url).toBe(`${SITE}/watch/${id}#token=${token}`);
    expect(token.length).toBeLessThan(256);
  });

  it("counts from `not_before` where that lies ahead", async () => {
    const { id } = await createStream({ visibility: "signed" });
    const opening = Math.floor(Date.now() / 1000) + 3600;
    const ahead = await mint(id, { not_before: new Date(opening * 1000).toISOString(), expires_in: 60 });
    expect(ahead.expires_at).toBe(new Date((opening + 60) * 1000).toISOString());
    await expect(keys.verify(ahead.token, id as StreamId, Date.now())).rejects.toMatchObject({ details: { cause: "not yet valid" } });
    expect(await keys.verify(ahead.token, id as StreamId, opening * 1000)).toMatchObject({ nbf: opening });
    for (const not_before of ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00+02:00"]) {
      const past = await mint(id, { not_before, expires_in: 604_800 });
      expect(await keys.verify(past.token, id as StreamId, Date.now())).not.toHaveProperty("nbf");
    }
  });

  it.each([
    ["a lifetime too short", { expires_in: 59 }],
    ["a lifetime too long", { expires_in: 604_801 }],
    ["half a second", { expires_in: 60.5 }],
    ["a text for a lifetime", { expires_in: "3600" }],
    ["a time without zone", { not_before: "2026-01-01T00:00:00" }],
    ["a number for a time", { not_before: 0 }],
    ["a time too far ahead", { not_before: "2999-01-01T00:00:00Z" }],
    ["a field that is none", { stream: "x" }],
    ["a list", []],
  ])("refuses %s", async (_name, body) => {
    const { id } = await createStream({ visibility: "signed" });
    const answer = await askApi("POST", `/api/v1/streams/${id}/playback-tokens`, body);
    expect([answer.status, answer.headers.get("Cache-Control"), await answer.json()]).toMatchObject([
      400,
      "no-store",
      { error: "invalid_request" },
    ]);
  });

  it("is for the stream's own account", async () => {
    const { id } = await createStream({ visibility: "signed" });
    const path = `/api/v1/streams/${id}/playback-tokens`;
    expect((await askOnce(path, { method: "POST", body: "{}" })).status).toBe(401);
    expect((await askOnce(path, { method: "POST", body: "{}", headers: { Authorization: `Bearer ${await signFor(id)}` } })).status).toBe(
      401,
    );
    await env.DB.prepare("INSERT INTO accounts (id, name, created_at) VALUES ('other', 'Other', 0)").run();
    await env.DB.prepare("UPDATE streams SET account_id = 'other' WHERE id = ?").bind(id).run();
    expect((await askApi("POST", path, {})).status).toBe(404);
    const gone = await createStream({ visibility: "signed" });
    await askApi("DELETE", `/api/v1/streams/${gone.id}`);
    const deleted = await askApi("POST", `/api/v1/streams/${gone.id}/playback-tokens`, {});
    expect([deleted.status, await deleted.json()]).toMatchObject([410, { error: "stream_deleted" }]);
  });
});

describe("without sound keys", () => {
  const { keys: configured } = JSON.parse(env.PLAYBACK_KEYS as string) as { keys: Record<string, string>[] };
  const publicOnly = JSON.stringify({ keys: configured.filter(({ kty }) => kty === "OKP").map(({ d: _, ...rest }) => rest) });

  it.each<[string, string | undefined, string]>([
    ["none", undefined, "PLAYBACK_KEYS is not set"],
    ["broken ones", '{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}', "keys.0: k is shorter than 32 bytes"],
  ])("(%s) public streams play, signed ones are closed, and the operator is told why", async (_name, text, reason) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const open = await liveStream({});
    const signed = await liveStream();
    const bindings = { PLAYBACK_KEYS: text };
    expect((await askWith(bindings, `/hls/${open.id}/index.m3u8`)).status).toBe(200);
    expect((await askWith(bindings, `/hls/${signed.id}/index.m3u8`)).status).toBe(401);
    const held = await askWith(bindings, `/t/${await signFor(signed.id)}/hls/${signed.id}/index.m3u8`);
    const told = (await held.json()) as { message: string };
    expect([held.status, told]).toMatchObject([503, { error: "signing_not_configured" }]);
    expect(told.message).not.toContain(reason);
    const minted = await askWith(bindings, `/api/v1/streams/${signed.id}/playback-tokens`, {
      method: "POST",
      headers: { Authorization: "Bearer test-admin-key" },
      body: "{}",
    });
    const operator = (await minted.json()) as { message: string };
    expect([minted.status, operator]).toMatchObject([503, { error: "signing_not_configured" }]);
    expect(operator.message).toContain(reason);
    expect(log.mock.calls.join()).toContain(reason);
    expect(operator.message + log.mock.calls.join()).not.toContain("c2VjcmV0");
  });

  it("(public keys alone) tokens are checked, and made elsewhere", async () => {
    const { id } = await liveStream();
    const bindings = { PLAYBACK_KEYS: publicOnly };
    const pair = await PlaybackKeys.parse(JSON.stringify({ keys: configured.filter(({ kty }) => kty === "OKP") }));
    const token = await pair.sign({ sub: id as StreamId, exp: Date.now() / 1000 + 60 });
    expect((await askWith(bindings, `/t/${token}/hls/${id}/index.m3u8`)).status).toBe(200);
    const minted = await askWith(bindings, `/api/v1/streams/${id}/playback-tokens`, {
      method: "POST",
      headers: { Authorization: "Bearer test-admin-key" },
      body: "{}",
    });
    expect([minted.status, await minted.json()]).toMatchObject([503, { message: expect.stringContaining("no key that can sign") }]);
  });
});

describe("the log", () => {
  it("has no token when a holder's request fails", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const { id } = await createStream({ visibility: "signed" });
    const token = await signFor(id);
    const Media = { fetch: () => Promise.reject(new Error("broken")) };
    const answer = await askWith({ exports: { Media } }, `/t/${token}/hls/${id}/index.m3u8`);
    expect(answer.status).toBe(500);
    expect(log.mock.calls.join()).toContain(`"path":"/t/[token]/hls/${id}/index.m3u8"`);
    expect(log.mock.calls.join() + (await answer.text())).not.toContain(token);
  });
});
