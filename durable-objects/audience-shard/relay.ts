import type { Millis } from "../../domain/time.ts";
import type { ReloadQuery } from "../../domain/timeline/reload.ts";
import type { LiveStream } from "../live-stream/live-stream.ts";
import type { Outcome } from "../live-stream/outcome.ts";
import type { MediaPlaylistAnswer, PartAddress, PartBytes, PlaylistAnswer, SegmentAddress } from "../live-stream/playback.ts";

/** What names something that does not change any more is kept for as long as players ask for it. */
const FIXED_MS: Millis = 5_000;
const LIVE_MS: Millis = 300;
const MAX_ENTRIES = 256;
const MAX_PART_BYTES = 48 << 20;

interface Entry {
  answer: Promise<Outcome<unknown>>;
  /** Null while the root is asked. */
  until: Millis | null;
  bytes: number;
}

/** Asks the root on behalf of many: equal questions that wait, or that were answered a moment ago, are one. In memory only. */
export class Relay {
  readonly #root: () => DurableObjectStub<LiveStream>;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(root: () => DurableObjectStub<LiveStream>) {
    this.#root = root;
  }

  mediaPlaylist(broadcast: number | null, rendition: string, query: ReloadQuery, delta: boolean): Promise<Outcome<MediaPlaylistAnswer>> {
    const lasts = query.msn === null ? LIVE_MS : FIXED_MS;
    const key = `playlist ${broadcast} ${rendition} ${query.msn}.${query.part} ${delta}`;
    return this.#ask(key, lasts, (root) => root.mediaPlaylist(broadcast, rendition, query, delta));
  }

  multivariantPlaylist(broadcast: number | null): Promise<Outcome<PlaylistAnswer>> {
    return this.#ask(`multivariant ${broadcast}`, LIVE_MS, (root) => root.multivariantPlaylist(broadcast));
  }

  manifest(broadcast: number | null): Promise<Outcome<PlaylistAnswer>> {
    return this.#ask(`manifest ${broadcast}`, LIVE_MS, (root) => root.manifest(broadcast));
  }

  readPart(address: PartAddress): Promise<Outcome<PartBytes>> {
    return this.#ask(`part ${addressText(address)}.${address.part}`, FIXED_MS, (root) => root.readPart(address));
  }

  assertOpen(address: SegmentAddress): Promise<Outcome<null>> {
    return this.#ask(`open ${addressText(address)}`, LIVE_MS, (root) => root.assertOpen(address));
  }

  #ask<Value>(key: string, lasts: Millis, call: (root: DurableObjectStub<LiveStream>) => Promise<Outcome<Value>>): Promise<Outcome<Value>> {
    const now = Date.now();
    const known = this.#entries.get(key);
    if (known !== undefined && (known.until === null || known.until > now)) return known.answer as Promise<Outcome<Value>>;
    this.#forget(key);
    const answer = call(this.#root());
    const entry: Entry = { answer, until: null, bytes: 0 };
    this.#entries.set(key, entry);
    answer.then(
      (outcome) => this.#keep(key, entry, outcome, lasts),
      () => this.#forget(key),
    );
    return answer;
  }

  /** A refusal is not kept: what is missing may be there in a moment. */
  #keep(key: string, entry: Entry, outcome: Outcome<unknown>, lasts: Millis): void {
    if (this.#entries.get(key) !== entry) return;
    if (!outcome.ok) return this.#forget(key);
    entry.until = Date.now() + lasts;
    entry.bytes = sizeOf(outcome.value);
    this.#bytes += entry.bytes;
    for (const [oldest, { until }] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#bytes <= MAX_PART_BYTES) break;
      if (until !== null) this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }
}

function addressText({ broadcast, rendition, epoch, msn }: SegmentAddress): string {
  return `${broadcast}/${rendition}/${epoch}-${msn}`;
}

function sizeOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if ("bytes" in value && value.bytes instanceof Uint8Array) return value.bytes.length;
  return "text" in value && typeof value.text === "string" ? value.text.length : 0;
}
