import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Page, Route, WebSocketRoute } from "playwright-core";
import type { StreamStatus } from "../../domain/protocol/events.ts";

const SEGMENT_SECONDS = 2;
const SIZES = { "360p": "640x360", "180p": "320x180" } as const;

/** A picture's name, as its media playlists lie under it. */
export type RenditionName = keyof typeof SIZES;

/** Segments of a moving picture in two sizes, made once. */
export class Footage {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(seconds: number): Promise<Footage> {
    const directory = mkdtempSync(join(tmpdir(), "nova-footage-"));
    for (const [name, size] of Object.entries(SIZES)) {
      await promisify(execFile)(
        "ffmpeg",
        [
          ...[
            "-hide_banner",
            "-loglevel",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            `testsrc2=size=${size}:rate=15`,
            "-t",
            String(seconds),
          ],
          ...["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30", "-sc_threshold", "0", "-f", "hls"],
          ...["-hls_time", String(SEGMENT_SECONDS), "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod"],
          ...["-hls_fmp4_init_filename", `${name}-init.mp4`, "-hls_segment_filename", join(directory, `${name}-%d.m4s`)],
          join(directory, `${name}.m3u8`),
        ],
        { timeout: 60_000 },
      );
    }
    return new Footage(directory);
  }

  /** How many segments each rendition has. */
  get length(): number {
    return readdirSync(this.directory).filter((file) => file.startsWith("180p-") && file.endsWith(".m4s")).length;
  }

  read(file: string): Buffer {
    return readFileSync(join(this.directory, file));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What a `WindowStream` begins as. */
export interface WindowStreamOptions {
  status: StreamStatus;
  /** How much of the footage there is already, and how much of it the playlists reach back, seconds. */
  elapsedSeconds?: number;
  windowSeconds?: number;
  renditions?: RenditionName[];
  /** Under which prefix the stream plays; all else is 401. */
  token?: string;
  /** The playlists answer 410. */
  gone?: boolean;
}

/** A stream of a page's own, in place of the edge's: its socket and its playlists say what a test wants them to. Its window is as long as wanted from the start. */
export class WindowStream {
  readonly #footage: Footage;
  readonly #id: string;
  readonly #options: Required<Omit<WindowStreamOptions, "token">> & { token: string | null };
  #startedAt: number;
  #seq = 1;
  #socket: WebSocketRoute | null = null;
  #status: StreamStatus;
  /** Renditions that are offered no more, with the first segment that they lack; and stretches that they have lacked. */
  readonly #dropped = new Map<RenditionName, number>();
  readonly #lacking: { rendition: RenditionName; from: number; to: number }[] = [];
  /** Media playlists answer 410, as those of a broadcast that has made way for another. */
  isCutOff = false;
  /** Paths and queries that the page asked for below `/hls/` or `/t/`, in order. */
  readonly requests: string[] = [];
  /** Addresses of the sockets that the page opened. */
  readonly sockets: string[] = [];

  constructor(footage: Footage, id: string, options: WindowStreamOptions) {
    const { elapsedSeconds = 120, windowSeconds = 1_000, renditions = ["360p"], token = null, gone = false, status } = options;
    this.#footage = footage;
    this.#id = id;
    this.#options = { elapsedSeconds, windowSeconds, renditions, token, gone, status };
    this.#startedAt = Date.now() - elapsedSeconds * 1000;
    this.#status = status;
  }

  /** Takes over what the page asks its stream. Called before the page is opened. */
  async takeOver(page: Page): Promise<void> {
    await page.routeWebSocket(/\/api\/v1\/streams\/[^/]+\/ws/, (socket) => {
      this.sockets.push(socket.url());
      this.#socket = socket;
      socket.onMessage((message) => {
        if (message === "ping") socket.send("pong");
      });
      this.#greet(socket);
    });
    await page.route(/\/(hls|t)\/.*/, (route) => this.#answer(route));
    await page.route(/\/footage\//, (route) => this.#media(route));
  }

  /** The live edge moves on at once, as for a viewer whose machine slept. */
  advance(seconds: number): void {
    this.#startedAt -= seconds * 1000;
  }

  /** The broadcast's status changes, and the page hears it in a new greeting. */
  become(status: StreamStatus): void {
    this.#status = status;
    if (this.#socket !== null) this.#greet(this.#socket);
  }

  /** The stream has these renditions from its next segment on; the others have gaps. */
  offer(names: RenditionName[], reason: string): void {
    const next = this.#liveSegments + 1;
    for (const rendition of this.#options.renditions) {
      const from = this.#dropped.get(rendition);
      if (names.includes(rendition) && from !== undefined) {
        this.#dropped.delete(rendition);
        this.#lacking.push({ rendition, from, to: next });
      } else if (!names.includes(rendition)) this.#dropped.set(rendition, from ?? next);
    }
    const data = { stream_id: this.#id, qualities: names, reason, timestamp: new Date().toISOString() };
    this.#socket?.send(JSON.stringify({ event: "quality_changed", seq: ++this.#seq, data }));
  }

  get #offered(): RenditionName[] {
    return this.#options.renditions.filter((name) => !this.#dropped.has(name));
  }

  get #liveSegments(): number {
    return Math.min(this.#footage.length, Math.floor((Date.now() - this.#startedAt) / 1000 / SEGMENT_SECONDS));
  }

  #isGap(name: RenditionName, index: number): boolean {
    if (index >= (this.#dropped.get(name) ?? Number.POSITIVE_INFINITY)) return true;
    return this.#lacking.some(({ rendition, from, to }) => rendition === name && index >= from && index < to);
  }

  #greet(socket: WebSocketRoute): void {
    const over = this.#status === "completed" ? new Date().toISOString() : null;
    const stream = {
      id: this.#id,
      title: "Footage",
      status: this.#status,
      broadcast: 1,
      started_at: new Date(this.#startedAt).toISOString(),
    };
    const data = { instance: "i", stream: { ...stream, ended_at: over, end_reason: null }, viewer_count: 1, peak_viewers: 1 };
    socket.send(
      JSON.stringify({
        event: "connection_established",
        seq: this.#seq,
        data: { ...data, qualities: this.#offered, ping_interval_ms: 25_000 },
      }),
    );
  }

  async #answer(route: Route): Promise<void> {
    const { pathname, search } = new URL(route.request().url());
    this.requests.push(pathname + search);
    const { token, gone, renditions } = this.#options;
    const prefix = `${token === null ? "" : `/t/${token}`}/hls/${this.#id}/`;
    if (!pathname.startsWith(prefix)) return route.fulfill({ status: 401, json: { error: "token_invalid" } });
    if (gone) return route.fulfill({ status: 410, json: { error: "gone" } });
    const path = pathname.slice(prefix.length);
    const rendition = renditions.find((name) => path.startsWith(`1/${name}/`));
    if (rendition !== undefined && this.isCutOff) return route.fulfill({ status: 410 });
    const text = rendition === undefined ? this.#multivariant() : this.#mediaPlaylist(rendition);
    return route.fulfill({ contentType: "application/vnd.apple.mpegurl", body: text, headers: { "Cache-Control": "no-store" } });
  }

  #multivariant(): string {
    const file = this.#status === "completed" ? "recording.m3u8" : "index.m3u8";
    const variants = this.#offered.map(
      (name) =>
        `#EXT-X-STREAM-INF:BANDWIDTH=${name === "360p" ? 900_000 : 300_000},RESOLUTION=${SIZES[name]},FRAME-RATE=15.000\n1/${name}/${file}\n`,
    );
    return `#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-INDEPENDENT-SEGMENTS\n${variants.join("")}`;
  }

  #mediaPlaylist(name: RenditionName): string {
    const over = this.#status === "completed";
    const last = over ? this.#footage.length : this.#liveSegments;
    const first = over ? 0 : Math.max(0, last - Math.floor(this.#options.windowSeconds / SEGMENT_SECONDS));
    const lines = [
      ...["#EXTM3U", "#EXT-X-VERSION:8", `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}`],
      over ? "#EXT-X-PLAYLIST-TYPE:VOD" : `#EXT-X-SERVER-CONTROL:HOLD-BACK=${3 * SEGMENT_SECONDS}.000`,
      ...[`#EXT-X-MEDIA-SEQUENCE:${first + 1}`, `#EXT-X-MAP:URI="/footage/${name}-init.mp4"`],
    ];
    for (let index = first; index < last; index++) {
      if (index === first)
        lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(1_780_000_000_000 + index * SEGMENT_SECONDS * 1000).toISOString()}`);
      if (this.#isGap(name, index)) lines.push("#EXT-X-GAP");
      lines.push(`#EXTINF:${SEGMENT_SECONDS}.00000,`, `/footage/${name}-${index}.m4s`);
    }
    return `${lines.join("\n")}\n${over ? "#EXT-X-ENDLIST\n" : ""}`;
  }

  async #media(route: Route): Promise<void> {
    const file = new URL(route.request().url()).pathname.replace("/footage/", "");
    await route.fulfill({ contentType: "video/mp4", body: this.#footage.read(file) });
  }
}
