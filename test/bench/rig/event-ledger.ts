/** A frame, as far as a bench looks into it: docs/websocket.md. */
export interface EventFrame {
  event: string;
  seq: number;
  data: { instance?: string; ack_bytes?: number; from?: number; to?: number; payload?: { mark?: number } };
}

/** A message that a bench sent to everybody, and the number that it got; null where the server does not say. */
export interface MarkedEvent {
  mark: number;
  seq: number | null;
}

/** What one client has been told, by the events' numbers: what is missing, and what a `gap` has owned up to. */
export class EventLedger {
  readonly #marks = new Set<number>();
  readonly #gaps: { from: number; to: number }[] = [];
  #instance: string | null = null;
  #seq: number | null = null;
  #holes = 0;
  #repeats = 0;

  /** Where to go on, `{instance}.{seq}`; null before the first greeting. */
  get resumePoint(): string | null {
    return this.#instance === null ? null : `${this.#instance}.${this.#seq ?? 0}`;
  }

  /** Number of the newest event; null before any. */
  get seq(): number | null {
    return this.#seq;
  }

  /** Numbers that were skipped within an instance, and no `gap` told of. */
  get holes(): number {
    return this.#holes;
  }

  /** Events that came twice. */
  get repeats(): number {
    return this.#repeats;
  }

  /** Events that a `gap` told of. */
  get told(): number {
    return this.#gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  /** Takes a frame in. Returns the mark of a message that had not come before; else null. */
  note({ event, seq, data }: EventFrame): number | null {
    if (event === "connection_established") this.#greet(data.instance ?? "", seq);
    else if (event === "gap") this.#skip(data.from ?? 0, data.to ?? 0);
    else if (event !== "error") return this.#take(seq, data.payload?.mark ?? null);
    return null;
  }

  /** Whether a message came, or a `gap` with its number told of it. */
  knows({ mark, seq }: MarkedEvent): boolean {
    return this.#marks.has(mark) || (seq !== null && this.#gaps.some(({ from, to }) => from <= seq && seq <= to));
  }

  #greet(instance: string, seq: number): void {
    const goesOn = instance === this.#instance;
    this.#instance = instance;
    if (!goesOn) this.#seq = seq;
  }

  #skip(from: number, to: number): void {
    this.#holes += Math.max(0, from - (this.#seq ?? 0) - 1);
    this.#gaps.push({ from, to });
    this.#seq = Math.max(this.#seq ?? 0, to);
  }

  #take(seq: number, mark: number | null): number | null {
    if (this.#seq !== null && seq <= this.#seq) {
      this.#repeats += 1;
      return null;
    }
    if (this.#seq !== null) this.#holes += seq - this.#seq - 1;
    this.#seq = seq;
    if (mark !== null) this.#marks.add(mark);
    return mark;
  }
}
