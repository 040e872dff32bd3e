import type { Connection } from "../../domain/broadcast/broadcast.ts";
import type { TracksRequest } from "../../domain/protocol/origin-link.ts";
import { MediaWindow } from "./media-window.ts";
import type { LiveStreamStorage, StreamConfig } from "./storage.ts";

/** The media of the stream's broadcasts, as long as it is kept: of the current one, and of those that play out. */
export class MediaWindows {
  readonly #storage: LiveStreamStorage;
  readonly #streamId: () => string;
  readonly #windows = new Map<number, MediaWindow>();
  /** All that are stored, in order; a window is rebuilt when it is asked for. */
  #numbers: number[];

  constructor(storage: LiveStreamStorage, streamId: () => string) {
    this.#storage = storage;
    this.#streamId = streamId;
    this.#numbers = storage.broadcasts();
  }

  /** The media of the newest broadcast that has any; null where none has. */
  get current(): MediaWindow | null {
    return this.get(this.#numbers.at(-1) ?? 0);
  }

  /** Names of the video renditions of the newest broadcast that viewers can choose from. */
  get qualities(): string[] {
    const tracks = this.current?.offered ?? [];
    return tracks.filter((track) => track.kind === "video").map((track) => track.name);
  }

  /** All that is kept, oldest first. */
  get all(): MediaWindow[] {
    return this.#numbers.map((number) => this.get(number)).filter((media) => media !== null);
  }

  /** A broadcast's media; null where it is not kept, or never was. */
  get(broadcast: number): MediaWindow | null {
    if (!this.#numbers.includes(broadcast)) return null;
    const known = this.#windows.get(broadcast);
    if (known !== undefined) return known;
    const media = MediaWindow.restore(broadcast, this.#storage.media(broadcast), this.#streamId());
    if (media !== null) this.#windows.set(broadcast, media);
    return media;
  }

  /** A connection's tracks: of a new broadcast, or of one that goes on. */
  setTracks(connection: Connection, request: TracksRequest, config: StreamConfig): void {
    const { broadcast } = connection;
    const known = this.get(broadcast);
    if (known !== null) return known.setTracks(connection, request);
    this.#windows.set(broadcast, MediaWindow.begin(connection, request, this.#storage.media(broadcast), config));
    this.#numbers = [...this.#numbers, broadcast];
  }

  /** Forgets a broadcast's media. */
  remove(broadcast: number): void {
    this.#storage.media(broadcast).clear();
    this.#windows.delete(broadcast);
    this.#numbers = this.#numbers.filter((number) => number !== broadcast);
  }
}
