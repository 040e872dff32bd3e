import type { ShardPlan } from "../../domain/audience/shard-plan.ts";
import type { Broadcast } from "../../domain/broadcast/broadcast.ts";
import { NovaError } from "../../domain/errors.ts";
import type { BroadcastFacts } from "../../domain/hls/live-playlists.ts";
import { mediaPath, segmentFile } from "../../domain/media-address.ts";
import type { Millis } from "../../domain/time.ts";
import { decideReload, isReached, type ReloadQuery } from "../../domain/timeline/reload.ts";
import { HeldRequests } from "./held-requests.ts";
import { renderManifest } from "./manifest.ts";
import type { MediaWindow } from "./media-window.ts";
import type { MediaWindows } from "./media-windows.ts";
import { assertPlayable, notStarted, renderMediaPlaylist, renderMultivariantPlaylist } from "./playlists.ts";

/** A playlist's text, and whether it may still change. */
export interface PlaylistAnswer {
  text: string;
  ended: boolean;
}

/** A media playlist, and the last complete segment that it lists. */
interface RenderedPlaylist extends PlaylistAnswer {
  complete: number;
}

/** The same as the object answers it, with the plan by which the stream's shards are to be asked; null while there are none. */
export interface MediaPlaylistAnswer extends RenderedPlaylist {
  plan: ShardPlan | null;
}

/** Names a segment. */
export interface SegmentAddress {
  broadcast: number;
  rendition: string;
  epoch: number;
  msn: number;
}

/** Names a part. */
export interface PartAddress extends SegmentAddress {
  part: number;
}

/** A part's bytes, or where in R2 they lie. */
export type PartBytes = { kind: "bytes"; bytes: Uint8Array } | { kind: "range"; key: string; offset: number; length: number };

/** What players are told: playlists, the manifest, parts. Holds back what is not there yet. A broadcast of null is the current one. */
export class Playback {
  readonly #windows: MediaWindows;
  readonly #lifecycle: Broadcast;
  readonly #streamId: () => string;
  readonly #waiting = new HeldRequests();

  constructor(windows: MediaWindows, lifecycle: Broadcast, streamId: () => string) {
    this.#windows = windows;
    this.#lifecycle = lifecycle;
    this.#streamId = streamId;
  }

  /** Something changed: answers those whose wait is over. */
  wake(): void {
    this.#waiting.wake();
  }

  /** A rendition's playlist, held back until it has what the query asks for (BR1–BR8). */
  mediaPlaylist(
    broadcast: number | null,
    rendition: string,
    query: ReloadQuery,
    delta: boolean,
  ): RenderedPlaylist | Promise<RenderedPlaylist> {
    const media = this.#find(broadcast);
    assertPlayable(media, rendition);
    const render = () => {
      const facts = this.#facts(media);
      return {
        text: renderMediaPlaylist(media, rendition, facts, delta),
        ended: facts.ended,
        complete: media.timeline.head(rendition).complete,
      };
    };
    const head = () => media.timeline.head(rendition);
    // [BR6]
    if (this.hasEnded(media)) return render();
    if (decideReload(head(), query, media.tracks.partTargets[rendition] ?? 1) === "serve") return render();
    const ready = () => (this.hasEnded(media) || isReached(head(), query) ? render() : null);
    const key = `playlist ${media.broadcast} ${rendition} ${query.msn}.${query.part} ${delta}`;
    return this.#waiting.hold(key, ready, holdLimit(media));
  }

  multivariantPlaylist(broadcast: number | null): PlaylistAnswer {
    const media = this.#find(broadcast);
    const facts = this.#facts(media);
    return { text: renderMultivariantPlaylist(media, facts, broadcast === null ? `${media.broadcast}/` : ""), ended: facts.ended };
  }

  /** The DASH manifest. */
  manifest(broadcast: number | null): PlaylistAnswer {
    const media = this.#find(broadcast);
    const facts = this.#facts(media);
    return { text: renderManifest(media, facts, broadcast === null ? 0 : 1), ended: facts.ended };
  }

  /** A part's bytes, or where they are. One of the next to come is held back until it is whole (PL9). Throws 404 `part_not_found`. */
  readPart(address: PartAddress): PartBytes | Promise<PartBytes> {
    const media = this.#windows.get(address.broadcast);
    if (media === null) throw partNotFound();
    const ready = () => this.#findPart(media, address);
    const found = ready();
    if (found !== null) return found;
    return this.#waiting.hold(`part ${Object.values(address).join("/")}`, ready, holdLimit(media));
  }

  /** Throws 404 `media_not_found` unless a segment is the open one, whose parts can be read as they come, or the one after it. */
  assertOpen({ broadcast, rendition, epoch, msn }: SegmentAddress): void {
    const media = this.#windows.get(broadcast);
    const current = media?.timeline.epochs.at(-1);
    if (media !== null && current?.epoch === epoch && msn >= current.firstMsn && !this.hasEnded(media)) {
      const { complete } = media.timeline.head(rendition);
      if (msn === complete + 1 || msn === complete + 2) return;
      // R2 was asked a moment before the segment was complete; its parts are still here.
      if (msn === complete && media.storage.readPart(rendition, msn, 0) !== null) return;
    }
    throw new NovaError(404, "media_not_found", "no such media: it has expired, or never was");
  }

  /** Whether nothing will be added to a broadcast's media. */
  hasEnded(media: MediaWindow): boolean {
    const { status, number } = this.#lifecycle;
    return (media.broadcast < number || status === "completed" || status === "error") && !media.hasRemnants;
  }

  /** The media that a player may see. Throws 404 `not_started`, 410 `gone`. */
  #find(broadcast: number | null): MediaWindow {
    const { number, status, deleted } = this.#lifecycle;
    const isLive = status === "active" || status === "reconnecting";
    const media = this.#windows.get(broadcast ?? number);
    if (media !== null) return media;
    if (deleted) throw new NovaError(410, "gone", "this stream was deleted");
    if (isLive ? (broadcast ?? number) >= number : number === 0 || (broadcast ?? 0) > number) throw notStarted();
    throw new NovaError(410, "gone", "this broadcast is over, and was not recorded");
  }

  #facts(media: MediaWindow): BroadcastFacts {
    const { connection, lastEpoch } = this.#lifecycle;
    return {
      ...media.tracks,
      tracks: media.offered,
      streamId: this.#streamId(),
      broadcast: media.broadcast,
      ended: this.hasEnded(media),
      nextEpoch: connection === null ? lastEpoch + 1 : null,
    };
  }

  #findPart(media: MediaWindow, { broadcast, rendition, epoch, msn, part }: PartAddress): PartBytes | null {
    const { timeline } = media;
    const { complete, openParts } = timeline.head(rendition);
    if (timeline.epochAt(msn)?.epoch === epoch) {
      const bytes = media.storage.readPart(rendition, msn, part);
      if (bytes !== null) return { kind: "bytes", bytes };
      const segment = msn <= complete ? timeline.listed(rendition).find((listed) => listed.msn === msn) : undefined;
      const length = segment?.parts[part]?.size;
      if (segment !== undefined && length !== undefined) {
        const offset = segment.parts.slice(0, part).reduce((sum, before) => sum + before.size, 0);
        return { kind: "range", key: mediaPath(this.#streamId(), broadcast, rendition, segmentFile(epoch, msn)), offset, length };
      }
    }
    // The open segment of an ended epoch gets no more parts.
    const over = media.isClosing(timeline.epochAt(msn)?.epoch ?? 0) || this.hasEnded(media);
    const next = (msn === complete + 1 && part <= openParts + 1) || (msn === complete + 2 && part === 0);
    const current = timeline.epochs.at(-1)?.epoch ?? 0;
    if (next && !over && (epoch === current || epoch === current + 1)) return null;
    throw partNotFound();
  }
}

/** [BR5] */
function holdLimit(media: MediaWindow): Millis {
  return 3000 * media.tracks.targetDuration;
}

function partNotFound(): NovaError {
  return new NovaError(404, "part_not_found", "no such part: it has left the live window, or never was");
}
