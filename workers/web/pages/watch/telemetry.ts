import type { Beacon } from "../../../../domain/protocol/beacon.ts";
import type { PlaybackReport } from "../../client/stream-socket.ts";
import { BeaconBatch } from "./beacon-batch.ts";
import { PlaybackMeter, type Vitals } from "./playback-meter.ts";

const LOOK_MS = 1_000;
const FLUSH_MS = 30_000;
/** What the rendition is called where the browser chooses it and does not say. */
const UNNAMED = "auto";

/** What a page's telemetry needs of it. */
export interface TelemetrySource {
  streamId: string;
  viewer(): string;
  vitals(): Vitals;
  /** Takes what the stream's socket is to be told; null while nothing plays. */
  report(report: PlaybackReport | null): void;
}

/** Tells the server how playback does: the stream's own socket now and then, and beacons for the statistics. */
export class Telemetry {
  readonly #source: TelemetrySource;
  readonly #batch: BeaconBatch;
  readonly #meter: PlaybackMeter;

  constructor(source: TelemetrySource) {
    this.#source = source;
    this.#batch = new BeaconBatch((events) => {
      const beacon: Beacon = { viewer: source.viewer(), events };
      navigator.sendBeacon(`/api/v1/streams/${source.streamId}/beacon`, JSON.stringify(beacon));
    });
    this.#meter = new PlaybackMeter((event) => this.#batch.add(event, performance.now()));
    window.setInterval(() => this.look(), LOOK_MS);
    window.setInterval(() => this.#flush(), FLUSH_MS);
    // Whichever comes: a page that is hidden may never be heard of again.
    window.addEventListener("pagehide", () => this.#flush());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#flush();
    });
  }

  /** The player's phase may have changed. */
  look(): void {
    const vitals = this.#source.vitals();
    this.#meter.look(vitals, performance.now());
    const { stalls, switches } = this.#meter;
    const { phase, rendition, bufferedMs, latencyMs } = vitals;
    const moves = phase === "playing" || phase === "stalled";
    this.#source.report(moves ? { rendition: rendition ?? UNNAMED, bufferedMs, latencyMs, stalls, switches } : null);
  }

  /** Playback failed, for a reason that may pass. */
  failed(code: string): void {
    this.#meter.failed(code, performance.now());
  }

  #flush(): void {
    this.#batch.flush(performance.now());
  }
}
