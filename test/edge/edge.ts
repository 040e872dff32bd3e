import { env, exports } from "cloudflare:workers";
import type { PublishAnswer, PublishRequest, Track, TracksRequest } from "../../domain/protocol/origin-link.ts";
import { createApiClient } from "../../workers/api/client/api-client.ts";
import type { CreatedStream, CreateStream } from "../../workers/api/client/operations.ts";

export const SITE = "https://edge.test";

/** A request to the Worker. */
export function askOnce(path: string, init?: RequestInit): Promise<Response> {
  return exports.default.fetch(new Request(SITE + path, init));
}

/** A request to the Worker, again until the answer does not come out of the isolate's memory, where live playlists stay for a moment. */
export async function ask(path: string, init?: RequestInit): Promise<Response> {
  for (;;) {
    const answer = await askOnce(path, init);
    if (!answer.headers.get("Cache-Status")?.endsWith("; hit") || path.startsWith("/media/")) return answer;
    await answer.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A request with the administrator's API key, and a JSON body where one is given. */
export function askApi(method: string, path: string, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = { Authorization: "Bearer test-admin-key" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return ask(path, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
}

/** The API as the administrator's client sees it. */
const api = createApiClient(SITE, {
  apiKey: "test-admin-key",
  fetch: (input, init) => exports.default.fetch(new Request(input, init)),
}).api.v1;

/** Creates a stream through the API. */
export async function createStream(fields: Partial<CreateStream> = {}): Promise<CreatedStream> {
  const answer = await api.streams.$post({ json: { title: "Test", ...fields } });
  if (answer.status !== 201) throw new Error(`create: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** The object of a stream. */
export function liveStreamOf(id: string) {
  return env.LIVE.get(env.LIVE.idFromName(id));
}

/** Bytes that tell which segment or part they are of. */
export function bytesOf(name: string, length = 64): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(new TextEncoder().encode(name.padEnd(length, ".")));
}

/** A body as text, whatever its type says. */
export async function textOf(answer: Response): Promise<string> {
  return new TextDecoder().decode(await answer.arrayBuffer());
}

export const TRACKS: TracksRequest = {
  started_at: Date.UTC(2026, 0, 1),
  target_duration: 2,
  renditions: [
    { kind: "video", name: "source", codec: "avc1.64001f", width: 1280, height: 720, frame_rate: 30, bandwidth: 0, part_target: 0.5 },
    { kind: "audio", name: "audio", codec: "mp4a.40.2", channels: 2, sample_rate: 48000, bandwidth: 128000, part_target: 0.512 },
  ],
};

const rung = (name: string, width: number, height: number, codec: string, bandwidth: number): Track => {
  return { kind: "video", name, codec, width, height, frame_rate: 30, bandwidth, part_target: 0.5 };
};

/** Three rungs and their sound. */
export const LADDER: TracksRequest = {
  ...TRACKS,
  renditions: [
    rung("1080p", 1920, 1080, "avc1.640028", 8_560_000),
    rung("720p", 1280, 720, "avc1.64001f", 5_350_000),
    rung("480p", 854, 480, "avc1.64001e", 2_140_000),
    ...TRACKS.renditions.slice(1),
  ],
};

/** The ladder without its highest rung. */
export const SHORT_LADDER: TracksRequest = { ...LADDER, reason: "overload", renditions: LADDER.renditions.slice(1) };

/** An origin that speaks `/origin/v1`, call by call. */
export class OriginCalls {
  readonly publication: PublishAnswer;

  constructor(publication: PublishAnswer) {
    this.publication = publication;
  }

  /** The raw answer to a publish. */
  static publishRaw(streamKey: string, token = "test-origin-token", fields: Partial<PublishRequest> = {}): Promise<Response> {
    const request: PublishRequest = { stream_key: streamKey, origin_id: "origin-1", encoder: { software: "test" }, ...fields };
    return ask("/origin/v1/publish", {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
  }

  static async publish(streamKey: string): Promise<OriginCalls> {
    const answer = await OriginCalls.publishRaw(streamKey);
    if (answer.status !== 200) throw new Error(`publish: ${answer.status} ${await answer.text()}`);
    return new OriginCalls(await answer.json());
  }

  call(method: string, path: string, body: Uint8Array<ArrayBuffer> | object): Promise<Response> {
    const { stream_id, epoch, lease } = this.publication;
    return ask(`/origin/v1/${stream_id}/${epoch}${path}`, {
      method,
      headers: { Authorization: "Bearer test-origin-token", Lease: lease },
      body: body instanceof Uint8Array ? body : JSON.stringify(body),
    });
  }

  /** The encoder goes on in a further epoch. */
  async next(): Promise<OriginCalls> {
    const answer = await this.call("POST", "/next", { origin_id: "origin-1" });
    if (answer.status !== 200) throw new Error(`next: ${answer.status} ${await answer.text()}`);
    return new OriginCalls(await answer.json());
  }

  tracks(tracks: TracksRequest = TRACKS): Promise<Response> {
    return this.call("PUT", "/tracks", tracks);
  }

  init(rendition: string, bytes = bytesOf(`init ${rendition} ${this.publication.epoch}`)): Promise<Response> {
    return this.call("PUT", `/${rendition}/init.mp4`, bytes);
  }

  part(rendition: string, msn: number, part: number, bytes = bytesOf(`${rendition} ${msn}.${part}`)): Promise<Response> {
    return this.call("PUT", `/${rendition}/${msn}/${part}?duration=0.5&independent=${part === 0 ? 1 : 0}`, bytes);
  }

  /** A segment of four parts; the bytes are theirs. */
  segment(rendition: string, msn: number, bytes = segmentBytes(rendition, msn)): Promise<Response> {
    const pdt = TRACKS.started_at + (msn - 1) * 2000;
    return this.call("PUT", `/${rendition}/${msn}?duration=2&pdt=${pdt}`, bytes);
  }

  heartbeat(): Promise<Response> {
    return this.call("POST", "/heartbeat", {
      fps: 30,
      bitrate_kbps: 1000,
      dropped_frames: 0,
      keyframe_interval: 2,
      speed: 1,
      warnings: [],
    });
  }

  end(reason: string): Promise<Response> {
    return this.call("POST", "/end", { reason, message: null });
  }

  /** Tracks and init segments: what comes before media. */
  async begin(tracks: TracksRequest = TRACKS): Promise<void> {
    for (const answer of [await this.tracks(tracks), ...(await Promise.all(tracks.renditions.map(({ name }) => this.init(name))))]) {
      if (!answer.ok) throw new Error(`begin: ${answer.status} ${await answer.text()}`);
    }
  }

  /** Whole segments with their parts, of these renditions. */
  async pushSegments(first: number, last: number, renditions = ["source", "audio"]): Promise<void> {
    for (let msn = first; msn <= last; msn++) {
      for (const rendition of renditions) {
        for (let part = 0; part < 4; part++) await expectOk(this.part(rendition, msn, part));
        await expectOk(this.segment(rendition, msn));
      }
    }
  }
}

async function expectOk(answer: Promise<Response>): Promise<void> {
  const { ok, status, url } = await answer;
  if (!ok) throw new Error(`${url}: ${status}`);
}

/** The bytes of a segment: its four parts, one after the other. */
export function segmentBytes(rendition: string, msn: number): Uint8Array<ArrayBuffer> {
  return bytesOf([0, 1, 2, 3].map((part) => `${rendition} ${msn}.${part}`.padEnd(64, ".")).join(""));
}
