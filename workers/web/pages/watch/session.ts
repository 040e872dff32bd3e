import { type SocketStatus, StreamSocket, streamSocketUrl } from "../../client/stream-socket.ts";
import { claimViewerId, renewViewerId } from "../viewer-id.ts";
import { decidePlayback, type PlaybackOrder } from "./playback-order.ts";
import { playlistUrl } from "./playback-token.ts";
import { Player } from "./player.ts";
import { INITIAL_STATUS, type PlayerStatus } from "./player-status.ts";
import { RecordingSearch } from "./recording-search.ts";
import { INITIAL_STATE, reduceWatch, type View, type WatchEvent, type WatchState } from "./state.ts";
import { lookUpRecording, lookUpStream } from "./stream-lookup.ts";
import { Telemetry } from "./telemetry.ts";

/** All that a watch page renders. */
export interface Snapshot {
  watch: WatchState;
  socket: SocketStatus;
  player: PlayerStatus;
  muted: boolean;
  /** The broadcast that ended can be watched. */
  hasRecording: boolean;
}

/** Which stream a page is for, and its viewer's right to it. */
export interface Ticket {
  id: string;
  token: string | null;
}

/** A player that plays for this long without a word from the socket proves that the stream is live. */
const TRUST_PLAYER_AFTER_MS = 3_000;

/** One watch page: its socket, its player, and what both make of the stream. */
export class WatchSession {
  readonly #ticket: Ticket;
  readonly #video: HTMLVideoElement;
  readonly #player: Player;
  readonly #socket: StreamSocket;
  readonly #recording: RecordingSearch;
  readonly #telemetry: Telemetry;
  readonly #onChange: (snapshot: Snapshot) => void;
  #viewerId: string;
  #snapshot: Snapshot;

  constructor(ticket: Ticket, video: HTMLVideoElement, onChange: (snapshot: Snapshot) => void) {
    this.#ticket = ticket;
    this.#video = video;
    this.#onChange = onChange;
    this.#viewerId = claimViewerId(sessionStorage, window);
    this.#snapshot = initialSnapshot(video.muted);
    const url = playlistUrl(ticket.id, ticket.token);
    this.#player = new Player(video, url, {
      onStatus: (player) => this.#plays(player),
      onDenied: () => this.#hear({ event: "denied", hasToken: ticket.token !== null }),
      onOver: () => this.#hear({ event: "seen_over" }),
      onTrouble: (failure) => this.#telemetry.failed(failure),
    });
    this.#recording = new RecordingSearch(
      () => lookUpRecording(url),
      () => this.#show({ hasRecording: true }),
    );
    this.#socket = new StreamSocket(() => this.#socketUrl(), {
      onFrame: (frame) => {
        this.#hear(frame);
        // A socket that was away may have missed a change.
        if (frame.event === "quality_changed" || frame.event === "connection_established") this.#player.renditionsAre(frame.data.qualities);
      },
      onStatus: (status) => this.#socketIs(status),
      onRefused: () => void this.#lookUp(),
    });
    this.#telemetry = new Telemetry({
      streamId: ticket.id,
      viewer: () => this.#viewerId,
      vitals: () => this.#player.vitals,
      report: (report) => this.#socket.reportPlayback(report),
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
    if (this.#video.paused) this.#player.play();
  };

  /** Goes on after a pause. */
  readonly play = (): void => this.#player.play();

  /** Plays at the live edge; of a recording that is watched while the stream has begun again, too. */
  readonly goLive = (): void => {
    if (this.#snapshot.player.replaying) this.#player.obey("load");
    else this.#player.goLive();
  };

  /** Plays the recording, with its sound: somebody asked for it. */
  readonly replay = (): void => {
    this.#video.muted = false;
    this.#player.replay();
    // The load swallows the event.
    this.#show({ muted: false });
  };

  /** Moves on the timeline: to `at` seconds behind live, or from the start of what is over. */
  readonly seek = (at: number): void => this.#player.seek(at);

  /** Moves by some seconds, back where negative. */
  readonly seekBy = (seconds: number): void => this.#player.seekBy(seconds);

  /** Plays the quality with this index, or chooses by itself: null. */
  readonly chooseQuality = (index: number | null): void => this.#player.chooseQuality(index);

  /** Watches here after another place took over, as a viewer of its own. */
  readonly takeBack = (): void => {
    this.#viewerId = renewViewerId();
    this.#socket.connect();
    const { name } = this.#snapshot.watch.view;
    if (name === "live" || name === "reconnecting") this.#order("load");
  };

  #socketUrl(): string {
    const { id, token } = this.#ticket;
    return streamSocketUrl({ edge: location.origin, stream: id, viewer: this.#viewerId, token });
  }

  #hear(event: WatchEvent): void {
    const before = this.#snapshot.watch;
    // What cannot be watched says nothing that matters any more.
    if (before.view.name === "denied" || before.view.name === "not-found") return;
    const watch = reduceWatch(before, event);
    this.#show({ watch });
    this.#order(decidePlayback(before.view, watch.view));
    this.#followEnd(before.view, watch.view);
    if (watch.view.name === "not-found" || watch.view.name === "denied") this.#socket.close();
  }

  #followEnd(before: View, after: View): void {
    const isSame = before.name === "ended" && after.name === "ended" && (before.broadcast === after.broadcast || before.broadcast === 0);
    if (after.name === "ended" && !isSame) this.#recording.start();
    if (after.name === "ended") return;
    this.#recording.stop();
    if (this.#snapshot.hasRecording) this.#show({ hasRecording: false });
  }

  #order(order: PlaybackOrder): void {
    // Who watches a recording is asked, not torn away from it.
    const { replaying, phase } = this.#snapshot.player;
    if (replaying && phase !== "ended" && phase !== "idle" && order !== "stop") return;
    this.#player.obey(order);
    // What begins while the encoder is away plays the rest of the window: standing still after it is no fault.
    if (order === "load" && this.#snapshot.watch.view.name === "reconnecting") this.#player.obey("hold");
  }

  #plays(player: PlayerStatus): void {
    const { phase } = this.#snapshot.player;
    this.#show({ player });
    if (player.phase !== phase) this.#telemetry.look();
  }

  #socketIs(socket: SocketStatus): void {
    this.#show({ socket });
    if (socket === "replaced") this.#order("stop");
  }

  async #lookUp(): Promise<void> {
    const found = await lookUpStream(this.#ticket.id, this.#ticket.token);
    if (found === "absent") this.#hear({ event: "not_found" });
    if (found === "denied") this.#hear({ event: "denied", hasToken: this.#ticket.token !== null });
  }

  #show(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    this.#onChange(this.#snapshot);
  }
}

/** What a page shows before its session has said anything. */
export function initialSnapshot(muted: boolean): Snapshot {
  return { watch: INITIAL_STATE, socket: "connecting", player: INITIAL_STATUS, muted, hasRecording: false };
}
