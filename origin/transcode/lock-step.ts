import type { Sample } from "../package/sample.ts";

/** Encoders that run apart by more than this do not work. */
const MAX_APART = 300;

/**
 * Lets the rungs of a ladder go on together: a frame goes out when every rung has it, so that all of them have the same frames wherever their
 * FFmpeg may die.
 */
export class LockStep {
  readonly #waiting: Map<string, Sample[]>;

  constructor(rungs: readonly string[]) {
    this.#waiting = new Map(rungs.map((rung) => [rung, []]));
  }

  /** Takes a rung's next frame; frames that may go out now, in order. Throws where another rung stays away. */
  push(rung: string, sample: Sample): [rung: string, sample: Sample][] {
    const own = this.#waiting.get(rung);
    if (own === undefined) return [];
    own.push(sample);
    if (own.length > MAX_APART) throw new Error(`${rung} is ${MAX_APART} frames ahead of another rung`);
    const ready: [rung: string, sample: Sample][] = [];
    for (;;) {
      const heads = [...this.#waiting].flatMap(([name, samples]): [string, Sample][] => {
        const [head] = samples;
        return head === undefined ? [] : [[name, head]];
      });
      if (heads.length < this.#waiting.size) return ready;
      const dts = Math.min(...heads.map(([, head]) => head.dts));
      for (const [name, head] of heads) {
        // Where one rung's is later, that rung has left this frame out.
        if (head.dts !== dts) continue;
        this.#waiting.get(name)?.shift();
        ready.push([name, head]);
      }
    }
  }

  /** Forgets what waits: a fresh FFmpeg encodes it anew. */
  clear(): void {
    for (const samples of this.#waiting.values()) samples.length = 0;
  }
}
