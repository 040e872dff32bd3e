import { type SocketStatus, StreamSocket } from "../socket.ts";
import { claimViewerId, renewViewerId } from "../viewer-id.ts";
import { decidePlayback, type PlaybackOrder } from "./playback-order.ts";
import { Player, type PlayerStatus } from "./player.ts";
import { INITIAL_STATE, reduceWatch, type WatchEvent, type WatchState } from "./state.ts";
import { streamExists } from "./stream-lookup.ts";

/** All that a watch page renders. */
export interface Snapshot {
  watch: WatchState;
  socket: SocketStatus;
  player: PlayerStatus;
  muted: boolean;
}

/** A player that plays for this long without a word from the socket proves that the stream is live. */
const TRUST_PLAYER_AFTER_MS = 3_000;

/** One watch page: its socket, its player, and what both make of the stream. */
export class WatchSession {
  readonly #id: string;
  readonly #video: HTMLVideoElement;
  readonly #player: Player;
  readonly #socket: StreamSocket;
  readonly #onChange: (snapshot: Snapshot) => void;
  #viewerId: string;
  #snapshot: Snapshot;

  constructor(id: string, video: HTMLVideoElement, onChange: (snapshot: Snapshot) => void) {
    this.#id = id;
    this.#video = video;
    this.#onChange = onChange;
    this.#viewerId = claimViewerId(sessionStorage, window);
    this.#snapshot = initialSnapshot(video.muted);
    this.#player = new Player(video, `/hls/${id}/index.m3u8`, (player) => this.#show({ player }));
    this.#socket = new StreamSocket(() => this.#socketUrl(), {
      onFrame: (frame) => this.#hear(frame),
      onStatus: (status) => this.#socketIs(status),
      onRefused: () => void this.#lookUp(),
    });
    video.addEventListener("volumechange", () => this.#show({ muted: video.muted }));
  }

  /** Player and socket start side by side: the first frame does not wait for the first event. */
  start(): void {
    this.#player.start();
    this.#socket.connect();
    window.setTimeout(() => {
      if (this.#snapshot.player.phase === "playing") this.#hear({ event: "seen_playing" });
    }, TRUST_PLAYER_AFTER_MS);
  }

  /** Turns the sound on; only a viewer's gesture may. */
  readonly unmute = (): void => {
    this.#video.muted = false;
    if (this.#video.volume === 0) this.#video.volume = 1;
    if (this.#video.paused) this.#player.goLive();
  };

  /** Plays at the live edge. */
  readonly goLive = (): void => this.#player.goLive();

  /** Watches here after another place took over, as a viewer of its own. */
  readonly takeBack = (): void => {
    this.#viewerId = renewViewerId();
    this.#socket.connect();
    const { name } = this.#snapshot.watch.view;
    if (name === "live" || name === "reconnecting") this.#order("load");
  };

  #socketUrl(): string {
    const url = new URL(`/api/v1/streams/${this.#id}/ws`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("viewer", this.#viewerId);
    return url.href;
  }

  #hear(event: WatchEvent): void {
    const before = this.#snapshot.watch;
    const watch = reduceWatch(before, event);
    this.#show({ watch });
    this.#order(decidePlayback(before.view, watch.view));
    const { view } = watch;
    if (view.name === "not-found") this.#socket.close();
  }

  #order(order: PlaybackOrder): void {
    this.#player.obey(order);
    // What begins while the encoder is away plays the rest of the window: standing still after it is no fault.
    if (order === "load" && this.#snapshot.watch.view.name === "reconnecting") this.#player.obey("hold");
  }

  #socketIs(socket: SocketStatus): void {
    this.#show({ socket });
    if (socket === "replaced") this.#order("stop");
  }

  async #lookUp(): Promise<void> {
    if (!(await streamExists(this.#id))) this.#hear({ event: "not_found" });
  }

  #show(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    this.#onChange(this.#snapshot);
  }
}

/** What a page shows before its session has said anything. */
export function initialSnapshot(muted: boolean): Snapshot {
  return { watch: INITIAL_STATE, socket: "connecting", player: { phase: "loading", atLive: false }, muted };
}
