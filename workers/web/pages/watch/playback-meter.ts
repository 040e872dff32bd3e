import type { BeaconEvent } from "../../../../domain/protocol/beacon.ts";
import type { PlayerPhase } from "./player-status.ts";

/** How the player does at one moment. */
export interface Vitals {
  phase: PlayerPhase;
  /** The picture stands still because it was moved to another place. */
  isSeeking: boolean;
  /** The name of the rendition that is shown; null where that is not known. */
  rendition: string | null;
  bufferedMs: number;
  /** Behind live; null where nothing is live, or it is not known. */
  latencyMs: number | null;
}

/** `held`: the picture stands as the viewer wants it, or is on its way to where he wants it. */
type State = { name: "idle" | "held" | "playing" } | { name: "starting" | "stalled"; sinceMs: number };

const LATENCY_EVERY_MS = 30_000;
/** A failure that repeats within this time is one trouble. */
const SAME_ERROR_MS = 10_000;
/** Nothing that takes longer says anything of playback. */
const MAX_MS = 3_600_000;

/** Sees from a player's vitals what its viewer went through. Looked at whenever the phase changes, and every second. The clock comes in. */
export class PlaybackMeter {
  readonly #tell: (event: BeaconEvent) => void;
  #state: State = { name: "idle" };
  #rendition: string | null = null;
  #sampledAt = 0;
  #stalls = 0;
  #switches = 0;
  readonly #errors = new Map<string, number>();

  constructor(tell: (event: BeaconEvent) => void) {
    this.#tell = tell;
  }

  /** How often the picture stopped by itself. */
  get stalls(): number {
    return this.#stalls;
  }

  /** How often the rendition changed. */
  get switches(): number {
    return this.#switches;
  }

  look(vitals: Vitals, nowMs: number): void {
    this.#follow(vitals, nowMs);
    this.#followRendition(vitals);
    if (this.#state.name === "playing") this.#sample(vitals, nowMs);
  }

  /** Playback failed, for a reason that may pass. */
  failed(code: string, nowMs: number): void {
    const before = this.#errors.get(code);
    this.#errors.set(code, nowMs);
    if (before === undefined || nowMs - before > SAME_ERROR_MS) this.#tell({ type: "error", code });
  }

  #follow({ phase, isSeeking, rendition }: Vitals, nowMs: number): void {
    const state = this.#state;
    switch (phase) {
      case "idle":
      case "ended":
        this.#state = { name: "idle" };
        break;
      case "paused":
        this.#state = { name: "held" };
        break;
      case "loading":
        // Out of playing it is another picture that was asked for, not this one that stopped.
        if (state.name === "idle" || state.name === "playing") this.#state = { name: "starting", sinceMs: nowMs };
        break;
      case "stalled":
      case "error":
        if (state.name === "idle") this.#state = { name: "starting", sinceMs: nowMs };
        else if (state.name === "playing") this.#stopped(isSeeking, nowMs);
        break;
      case "playing":
        if (state.name === "starting") this.#tell({ type: "startup", ...measured(nowMs - state.sinceMs, rendition) });
        if (state.name === "stalled") this.#tell({ type: "stall", ...measured(nowMs - state.sinceMs, rendition) });
        if (state.name !== "playing") this.#sampledAt = nowMs;
        this.#state = { name: "playing" };
    }
  }

  #stopped(isSeeking: boolean, nowMs: number): void {
    if (isSeeking) {
      this.#state = { name: "held" };
      return;
    }
    this.#stalls += 1;
    this.#state = { name: "stalled", sinceMs: nowMs };
  }

  #followRendition({ rendition, phase }: Vitals): void {
    if (phase === "idle" || phase === "ended") this.#rendition = null;
    else if (rendition !== null && rendition !== this.#rendition) {
      if (this.#rendition !== null) {
        this.#switches += 1;
        this.#tell({ type: "switch", from: this.#rendition, to: rendition });
      }
      this.#rendition = rendition;
    }
  }

  #sample({ latencyMs, rendition }: Vitals, nowMs: number): void {
    if (latencyMs === null || nowMs - this.#sampledAt < LATENCY_EVERY_MS) return;
    this.#sampledAt = nowMs;
    this.#tell({ type: "latency", ...measured(latencyMs, rendition) });
  }
}

function measured(ms: number, rendition: string | null) {
  return { ms: Math.min(MAX_MS, Math.max(0, Math.round(ms))), ...(rendition === null ? {} : { rendition }) };
}
