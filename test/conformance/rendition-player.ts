import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer, ConformanceClient } from "./conformance-client.ts";
import type { Findings } from "./findings.ts";
import { type LiveView, mergeView } from "./live-view.ts";
import { PlaylistRules } from "./playlist-rules.ts";
import { type ListedReport, parsePlaylistText } from "./playlist-text.ts";
import { TrackRules } from "./track-rules.ts";

/** How late a part may be listed after the one before it, past the part target, before it counts as late. */
const LATE_AFTER_MS = 300;
/** A playlist answer's transport, next to the time that the platform held it. */
const TRANSPORT_MS = 500;
const PLAYLIST = "application/vnd.apple.mpegurl";

interface Head {
  msn: number;
  part: number;
}

/** What the reloads of one rendition took. */
export interface ReloadTimes {
  reloads: number;
  deltas: number;
  /** Held to the limit and refused, as while no encoder is there. */
  heldTooLong: number;
  /** Listed later than part target + 0.3 s after the part before. */
  late: number;
  longestMs: number;
}

/** Follows one rendition as the strictest low-latency player would: every part, each by a blocking reload, the next one hinted. */
export class RenditionPlayer {
  readonly name: string;
  readonly url: string;
  readonly times: ReloadTimes = { reloads: 0, deltas: 0, heldTooLong: 0, late: 0, longestMs: 0 };
  readonly rules: PlaylistRules;
  readonly track: TrackRules;
  /** What this rendition's playlists said of the others. */
  readonly reports: ListedReport[] = [];
  view: LiveView | null = null;
  /** When `EXT-X-ENDLIST` was there, by `performance.now()`. */
  endedAt = Number.POSITIVE_INFINITY;
  readonly #client: ConformanceClient;
  readonly #findings: Findings;
  readonly #others: () => RenditionPlayer[];
  readonly #fetched = new Map<string, Promise<Answer>>();
  readonly #hinted = new Map<string, Promise<Answer>>();
  readonly #gaps = new Set<number>();
  readonly #digests = new Map<string, string>();
  readonly #leftAt = new Map<string, number>();
  /** Bytes are checked one after another, beside the reloads. */
  #checked: Promise<void> = Promise.resolve();

  constructor(name: string, url: string, client: ConformanceClient, findings: Findings, others: () => RenditionPlayer[]) {
    this.name = name;
    this.url = url;
    this.#client = client;
    this.#findings = findings;
    this.#others = others;
    this.rules = new PlaylistRules(findings, name);
    this.track = new TrackRules(findings, name);
  }

  /** The newest part that is listed. */
  get head(): Head {
    const last = this.view?.segments.at(-1);
    return { msn: last?.msn ?? 0, part: Math.max(0, (last?.parts.length ?? 0) - 1) };
  }

  /** Follows to `EXT-X-ENDLIST`. Rejects where a playlist cannot be had at all. */
  async follow(): Promise<void> {
    await this.#reload(null, false);
    let listedAt = performance.now();
    while (this.view?.text.ended === false) {
      const open = this.view.segments.at(-1);
      const next = open?.media === null ? { msn: open.msn, part: open.parts.length } : { msn: (open?.msn ?? 0) + 1, part: 0 };
      // A part past the end of its segment is asked for by its own number now and then [BR3].
      const pastEnd = open !== undefined && open.media !== null && open.parts.length > 0 && open.msn % 2 === 0;
      const wait = pastEnd ? { msn: open.msn, part: open.parts.length } : next;
      const held = await this.#reload(wait, this.times.reloads % 2 === 1);
      const now = performance.now();
      if (held) this.#time(now - listedAt);
      listedAt = now;
    }
    this.endedAt = listedAt;
    await this.#checked;
    await this.#checkStored();
  }

  #time(tookMs: number): void {
    const target = (this.view?.text.partTarget ?? 0) * 1000;
    this.times.longestMs = Math.max(this.times.longestMs, Math.round(tookMs));
    if (tookMs > target + LATE_AFTER_MS) this.times.late += 1;
  }

  /** Whether the answer brought what was waited for. */
  async #reload(wait: Head | null, delta: boolean): Promise<boolean> {
    const query = wait === null ? "" : `?_HLS_msn=${wait.msn}&_HLS_part=${wait.part}${delta ? "&_HLS_skip=YES" : ""}`;
    const headsBefore = new Map(this.#others().map((other) => [other.url, other.head]));
    const twice = wait !== null && this.times.reloads % 3 === 0;
    const [answer, same] = await Promise.all([
      this.#client.get(this.url + query, PLAYLIST),
      twice ? this.#client.get(this.url + query, PLAYLIST) : null,
    ]);
    this.times.reloads += 1;
    if (same !== null && same.status === answer.status && answer.status === 200 && !same.bytes.equals(answer.bytes))
      this.#say("BR8", "two who wait for one part get different playlists", query);
    if (answer.status !== 200) {
      await this.#refused(answer, wait, query);
      return false;
    }
    const view = this.#findings.attempt("syntax", this.name, () =>
      mergeView(parsePlaylistText(answer.bytes.toString(), this.url), this.view),
    );
    if (view === null) {
      await sleep(200);
      return false;
    }
    if (view.text.skipped > 0) this.times.deltas += 1;
    this.rules.check(view, delta);
    this.view = view;
    if (wait !== null && !view.text.ended) this.#checkReached(wait, answer);
    this.#checkReports(view, wait === null ? new Map() : headsBefore);
    this.#fetchMedia(view);
    this.#checkLeft(view);
    return true;
  }

  async #refused(answer: Answer, wait: Head | null, query: string): Promise<void> {
    const limit = 3000 * (this.view?.text.targetDuration ?? 0);
    if (answer.status !== 503 || wait === null)
      this.#say("BR2", `a reload for the next part is answered ${answer.status}`, query + answer.bytes);
    else if (answer.tookMs < limit - TRANSPORT_MS) this.#say("BR5", "503 before 3×TD", `${answer.tookMs} ms`);
    this.times.heldTooLong += 1;
    await sleep(100);
  }

  #checkReached(wait: Head, answer: Answer): void {
    const { msn } = this.head;
    const segment = this.view?.segments.find((known) => known.msn === wait.msn);
    const reached = msn > wait.msn || (segment !== undefined && segment.parts.length > wait.part);
    if (!reached) this.#say("BR5", "the playlist lacks what was waited for", `asked ${wait.msn}.${wait.part}, ends at msn ${msn}`);
    const limit = 3000 * (this.view?.text.targetDuration ?? 0);
    if (answer.tookMs > limit + TRANSPORT_MS) this.#say("BR5", "held longer than 3×TD", `${answer.tookMs} ms`);
  }

  #checkReports({ text }: LiveView, headsBefore: Map<string, Head>): void {
    if (text.ended) return;
    const others = this.#others();
    if (text.reports.length !== others.length) this.#say("PL10", `${text.reports.length} rendition reports for ${others.length} others`);
    for (const report of text.reports) {
      this.reports.push(report);
      if (!others.some(({ url }) => url === report.uri)) this.#say("PL10", "a report of an unknown rendition", report.uri);
      if (report.lastPart === null) this.#say("PL10", "a report without LAST-PART");
      const head = headsBefore.get(report.uri);
      if (head !== undefined && report.lastMsn * 1000 + (report.lastPart ?? 0) < head.msn * 1000 + head.part)
        this.#say(
          "PL10",
          "a report older than what its rendition had listed",
          `${report.lastMsn}.${report.lastPart} after ${head.msn}.${head.part}`,
        );
    }
  }

  #fetchMedia(view: LiveView): void {
    for (const segment of view.segments) {
      if (segment.gap) {
        this.#skip(segment.msn);
        continue;
      }
      this.#fetch(segment.init, (bytes) => this.track.addInit(segment.init ?? "", bytes));
      for (const [index, { uri }] of segment.parts.entries()) this.#fetch(uri, (bytes) => this.track.addPart(segment, index, bytes));
      if (segment.media !== null)
        this.#fetch(segment.media.uri, (bytes) => this.track.addSegment(this.rules.known.get(segment.msn) ?? segment, bytes));
    }
    for (const uri of view.text.hints) {
      if (this.#hinted.has(uri)) continue;
      if (this.#fetched.has(uri)) this.#say("PL9", "the hint is a part that is listed", uri);
      const answer = this.#client.get(uri, this.#type);
      answer.catch(() => undefined);
      this.#hinted.set(uri, answer);
    }
    const last = view.segments.at(-1);
    const newest = last?.parts.at(-1)?.uri;
    // Which number a returning encoder's first part will have is said when it is gone: a player that waits does not hear it.
    const opensEpoch = last?.discontinuity === true && last.parts.length === 1;
    if (newest !== undefined && !opensEpoch && this.times.reloads > 2 && !this.#hinted.has(newest))
      this.#say("PL9", "the newest part was never hinted", newest);
  }

  get #type(): string {
    return this.name === "audio" ? "audio/mp4" : "video/mp4";
  }

  /** Bytes that are lost: those after them begin anew. */
  #skip(msn: number): void {
    if (this.#gaps.has(msn)) return;
    this.#gaps.add(msn);
    this.#checked = this.#checked.then(() => this.track.skip());
  }

  /** What is listed is fetched once, at once; bytes are checked in the order of the playlist. */
  #fetch(uri: string | null, check: (bytes: Buffer) => void): void {
    if (uri === null || this.#fetched.has(uri)) return;
    const answer = this.#client.get(uri, this.#type);
    answer.catch(() => undefined);
    this.#fetched.set(uri, answer);
    this.#checked = this.#checked.then(async () => {
      const { status, bytes } = await answer;
      if (status !== 200) return this.#say("listed", `what is listed is answered ${status}`, uri);
      this.#digests.set(uri, digestOf(bytes));
      const hinted = await this.#hinted.get(uri);
      if (hinted !== undefined && hinted.status !== 200) this.#say("PL9", `the hinted part is answered ${hinted.status}`, uri);
      else if (hinted !== undefined && !hinted.bytes.equals(bytes))
        this.#say("PL9", "the hinted part has other bytes than the listed one", uri);
      check(bytes);
    });
    this.#checked.catch(() => undefined);
  }

  /** Parts that left the list are asked for once more before 3×TD are over [PL8]. */
  #checkLeft(view: LiveView): void {
    if (view.text.ended) return;
    const listed = new Set(view.segments.flatMap(({ parts }) => parts.map(({ uri }) => uri)));
    const keepMs = 3000 * view.text.targetDuration;
    for (const { parts } of this.rules.known.values()) {
      for (const { uri } of parts) {
        if (listed.has(uri)) continue;
        const leftAt = this.#leftAt.get(uri) ?? performance.now();
        this.#leftAt.set(uri, leftAt);
        if (performance.now() - leftAt < keepMs - 1500) continue;
        this.#leftAt.set(uri, Number.POSITIVE_INFINITY);
        this.#checked = this.#checked.then(() => this.#checkSame("PL8", uri));
      }
    }
  }

  async #checkSame(rule: string, uri: string): Promise<void> {
    const { status, bytes } = await this.#client.get(uri, this.#type);
    if (status !== 200) this.#say(rule, `what was listed is answered ${status} later`, uri);
    else if (digestOf(bytes) !== this.#digests.get(uri)) this.#say("PL5", "an address has other bytes than before", uri);
  }

  async #checkStored(): Promise<void> {
    for (const { media, gap } of this.view?.segments ?? []) if (media !== null && !gap) await this.#checkSame("listed", media.uri);
  }

  #say(rule: string, what: string, detail = ""): void {
    this.#findings.report(rule, this.name, what, detail);
  }
}

function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
