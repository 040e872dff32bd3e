import { composeMpd, type DashWindow } from "../../domain/dash/live-mpd.ts";
import { encodeMpd } from "../../domain/dash/mpd.ts";
import type { AudioTrack, VideoTrack } from "../../domain/protocol/origin-link.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import { Timeline } from "../../domain/timeline/timeline.ts";

/** A camera at 30 frames a second. */
export const VIDEO: VideoTrack = {
  kind: "video",
  name: "source",
  codec: "avc1.64001f",
  part_target: 0.5,
  bandwidth: 3_000_000,
  width: 1280,
  height: 720,
  frame_rate: 30,
};

/** Its sound. */
export const AUDIO: AudioTrack = {
  kind: "audio",
  name: "audio",
  codec: "mp4a.40.2",
  part_target: 0.5,
  bandwidth: 128_000,
  channels: 2,
  sample_rate: 48000,
};

/** Wall clock of the first frame. */
export const STARTED_AT = Date.UTC(2026, 1, 3, 4, 5, 6);
const FRAME = 1024;
/** Seconds between two IDRs. */
const LENGTH = 2;

/** A broadcast's timeline as connections fill it: video of two seconds a segment at 90 kHz, audio to the nearest frame at 48 kHz. */
export class DashScene {
  readonly timeline = new Timeline();
  readonly #tracks: (VideoTrack | AudioTrack)[];
  #startedAt = 0;
  #firstMsn = 1;
  #epoch = 0;
  #origin = 0;

  constructor(tracks: (VideoTrack | AudioTrack)[] = [VIDEO, AUDIO]) {
    this.#tracks = tracks;
  }

  /** A connection begins; its media clock starts at `origin` seconds. */
  connect(epoch: number, startedAt: number, origin = 0): this {
    this.#firstMsn = this.timeline.openEpoch(epoch).firstMsn;
    this.#startedAt = startedAt;
    this.#epoch = epoch;
    this.#origin = origin;
    const names = this.#tracks.map((track) => track.name);
    this.timeline.setTracks(epoch, startedAt, names);
    for (const name of names) this.timeline.addInit(epoch, name);
    return this;
  }

  /** Segments of every track, those named in `lost` as gaps: `source/3`. */
  segments(count: number, lost: string[] = []): this {
    for (let index = 0; index < count; index++) {
      const msn = this.timeline.nextMsn();
      for (const { name, kind } of this.#tracks) {
        const time = kind === "video" ? this.#video(msn) : this.#audio(msn);
        const gap = lost.includes(`${name}/${msn}`);
        const base = { msn, epoch: this.#epoch, digest: `${name}/${msn}`, gap, size: gap ? 0 : kind === "video" ? 500_000 : 32_000 };
        const pdt = this.#startedAt + (msn - this.#firstMsn) * LENGTH * 1000;
        this.timeline.commit(name, { ...base, duration: time.duration / time.timescale, pdt, time: gap ? null : time });
      }
    }
    return this;
  }

  /** What a manifest of it is made of. */
  window(changes: Partial<DashWindow> = {}): DashWindow {
    const { epochs } = this.timeline;
    return {
      streamId: "stream",
      broadcast: 1,
      ended: false,
      targetDuration: 2,
      dvrWindowSeconds: 60,
      partTarget: 0.5,
      connected: true,
      epochs,
      tracksOfEpochs: Object.fromEntries(epochs.map(({ epoch }) => [epoch, this.#tracks])),
      segments: Object.fromEntries(this.#tracks.map(({ name }): [string, Segment[]] => [name, this.timeline.listed(name)])),
      root: "../../",
      ...changes,
    };
  }

  /** The manifest's text. */
  mpd(changes: Partial<DashWindow> = {}): string {
    return encodeMpd(composeMpd(this.window(changes)));
  }

  #video(msn: number) {
    const start = this.#origin + (msn - this.#firstMsn) * LENGTH;
    return { start: start * 90000, duration: LENGTH * 90000, timescale: 90000 };
  }

  #audio(msn: number) {
    const boundary = (number: number) => Math.ceil((this.#origin + (number - this.#firstMsn) * LENGTH) * (48000 / FRAME) - 0.5) * FRAME;
    return { start: boundary(msn), duration: boundary(msn + 1) - boundary(msn), timescale: 48000 };
  }
}
