import { setTimeout as sleep } from "node:timers/promises";
import { ConformanceClient } from "./conformance-client.ts";
import { Findings } from "./findings.ts";
import { type MultivariantText, parseMultivariantText } from "./multivariant-text.ts";
import { type ReloadTimes, RenditionPlayer } from "./rendition-player.ts";

/** What a strict player saw of a stream. */
export interface Conformance {
  /** Each broken rule once: `[RULE] rendition: words (figures) ×times`. */
  violations: string[];
  times: Record<string, ReloadTimes>;
  /** Segments with bytes that were checked, by rendition. */
  segments: Record<string, number>;
  /** Discontinuities seen, and gaps. */
  discontinuities: number;
  gaps: number;
  /** When the last rendition's end was known, by `performance.now()`. */
  endedAt: number;
}

const AV_LIMIT_SECONDS = 0.02;
/** Video renditions have one clock: what differs at all is no rounding. */
const VIDEO_LIMIT_SECONDS = 0.000_02;
const MAPPING_LIMIT_MS = 5;
const START_MS = 15_000;

/** The strictest low-latency client: follows all renditions of a stream from its multivariant playlist to its end, and says which rules were broken. */
export class StrictPlayer {
  readonly #url: string;
  readonly #findings = new Findings();
  readonly #client: ConformanceClient;
  #players: RenditionPlayer[] = [];

  constructor(url: string, stop: AbortSignal) {
    this.#url = url;
    this.#client = new ConformanceClient(this.#findings, stop);
  }

  /** Follows to the end, or to where `stop` aborts. Rejects where the stream does not start in 15 s. */
  async follow(): Promise<Conformance> {
    const first = await this.#start();
    const urls = [...new Set([...first.variants, ...first.media].map(({ uri }) => uri))];
    this.#players = urls.map((url) => {
      const name = url.split("/").at(-2) ?? url;
      return new RenditionPlayer(name, url, this.#client, this.#findings, () => this.#players.filter((other) => other.url !== url));
    });
    const follow = (player: RenditionPlayer) =>
      player
        .follow()
        .catch((error: unknown) =>
          this.#findings.report("end", player.name, "not followed to its end", `${error}, at msn ${player.head.msn}`),
        );
    await Promise.all(this.#players.map(follow));
    this.#compare();
    this.#compareBoundaries();
    this.#checkReports();
    const last = await this.#multivariant().catch(() => null);
    for (const text of [first, last]) if (text !== null) this.#checkVariants(text, text === last);
    const segments = this.#players.flatMap(({ rules }) => [...rules.known.values()]);
    return {
      violations: this.#findings.lines,
      times: Object.fromEntries(this.#players.map(({ name, times }) => [name, times])),
      segments: Object.fromEntries(this.#players.map(({ name, track }) => [name, track.starts.size])),
      discontinuities: segments.filter(({ discontinuity }) => discontinuity).length,
      endedAt: Math.max(...this.#players.map(({ endedAt }) => endedAt)),
      gaps: segments.filter(({ gap }) => gap).length,
    };
  }

  async #start(): Promise<MultivariantText> {
    const giveUpAt = performance.now() + START_MS;
    for (;;) {
      const text = await this.#multivariant();
      if (text !== null) return text;
      if (performance.now() > giveUpAt) throw new Error("the stream does not start");
      await sleep(100);
    }
  }

  async #multivariant(): Promise<MultivariantText | null> {
    const { status, bytes } = await this.#client.get(this.#url, "application/vnd.apple.mpegurl");
    if (status !== 200) return null;
    return this.#findings.attempt("syntax", "multivariant", () => parseMultivariantText(bytes.toString(), this.#url));
  }

  /** What must be the same in all renditions: control, dates, discontinuities, and the clock of their bytes. */
  #compare(): void {
    const [lead, ...others] = this.#players;
    if (lead === undefined) return this.#say("PL14", "no rendition");
    for (const other of others) {
      const where = `${lead.name} and ${other.name}`;
      const control = (player: RenditionPlayer) => JSON.stringify([...(player.view?.text.control ?? [])]);
      if (control(lead) !== control(other)) this.#say("PL2", `SERVER-CONTROL differs: ${where}`);
      for (const [msn, segment] of lead.rules.known) {
        const twin = other.rules.known.get(msn);
        if (twin === undefined) continue;
        if (twin.timelineNumber !== segment.timelineNumber) this.#say("PL7", `the discontinuity stands elsewhere: ${where}`, `msn ${msn}`);
        const [mine, theirs] = [lead.track.starts.get(msn), other.track.starts.get(msn)];
        if (mine === undefined || theirs === undefined) continue;
        const apart = Math.abs(mine.seconds - theirs.seconds);
        if (apart >= AV_LIMIT_SECONDS)
          this.#say("CM2", `starts are 20 ms apart or more: ${where}`, `msn ${msn}: ${(apart * 1000).toFixed(1)} ms`);
        const mapping = Math.abs(mine.mappingMs - theirs.mappingMs);
        if (mapping > MAPPING_LIMIT_MS) this.#say("PL6", `dates map to other times: ${where}`, `msn ${msn}: ${mapping.toFixed(1)} ms`);
      }
    }
  }

  /** All video renditions are cut at the same presentation times [CM3]. */
  #compareBoundaries(): void {
    const [lead, ...others] = this.#players.filter(({ track }) => [...track.inits.values()].some(({ kind }) => kind === "video"));
    for (const other of others) {
      for (const [msn, { seconds }] of lead?.track.starts ?? []) {
        const theirs = other.track.starts.get(msn)?.seconds ?? seconds;
        if (Math.abs(seconds - theirs) > VIDEO_LIMIT_SECONDS)
          this.#say("CM3", `cut elsewhere: ${lead?.name} and ${other.name}`, `msn ${msn}: ${seconds}, ${theirs}`);
      }
    }
  }

  /** What a report announced must have been listed [PL10]. */
  #checkReports(): void {
    for (const { reports } of this.#players) {
      for (const { uri, lastMsn, lastPart } of reports) {
        const other = this.#players.find(({ url }) => url === uri);
        const segment = other?.rules.known.get(lastMsn);
        // The parts of the last segment may leave the list with the end, before this client has seen them all.
        const isLast = lastMsn === other?.head.msn;
        const there = segment !== undefined && (segment.parts.length === 0 || (lastPart ?? 0) < segment.parts.length);
        if (other !== undefined && !there && !isLast)
          this.#say("PL10", "a report of a part that never was", `${other.name} ${lastMsn}.${lastPart}`);
      }
    }
  }

  #checkVariants({ media, variants, independentSegments }: MultivariantText, isLast: boolean): void {
    if (!independentSegments) this.#say("PL4", "EXT-X-INDEPENDENT-SEGMENTS is missing");
    for (const variant of variants) {
      const video = this.#players.find(({ url }) => url === variant.uri);
      const audio = this.#players.find(({ url }) => media.some(({ uri, group }) => uri === url && group === variant.audio));
      if (variant.audio !== null && audio === undefined) this.#say("PL14", "an audio group that is not there", variant.audio);
      const tracks = [video, audio].filter((player) => player !== undefined).map(({ track }) => track);
      const inits = tracks.map(({ inits }) => [...inits.values()].at(-1));
      const codecs = inits.map((init) => init?.codec ?? "none");
      if (codecs.join() !== variant.codecs.join())
        this.#say("PL14", "CODECS are not those of the init segments", `${variant.codecs}, ${codecs}`);
      const [init] = inits;
      if (init?.kind === "video") {
        const size = `${init.width}x${init.height}`;
        if (variant.resolution !== size) this.#say("PL14", "RESOLUTION is not that of the init segment", `${variant.resolution}, ${size}`);
        const { frames = 0, seconds = 1 } = video?.track.total ?? {};
        const rate = frames / seconds;
        if (variant.frameRate === null || Math.abs(variant.frameRate - rate) > 0.02)
          this.#say("PL14", "FRAME-RATE is not that of the bytes", `${variant.frameRate}, ${rate.toFixed(3)}`);
      }
      if (variant.averageBandwidth > variant.bandwidth) this.#say("PL14", "AVERAGE-BANDWIDTH above BANDWIDTH");
      const peak = tracks.reduce((sum, track) => sum + track.peak, 0);
      if (isLast && variant.bandwidth < peak * 0.999)
        this.#say("PL14", "BANDWIDTH below the peak", `${variant.bandwidth}, ${Math.round(peak)}`);
    }
  }

  #say(rule: string, what: string, detail = ""): void {
    this.#findings.report(rule, "stream", what, detail);
  }
}
