import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Candidate,
  countFitting,
  decideRecording,
  failureSeconds,
  GAP_ATTEMPTS,
  RESEND_ATTEMPTS,
  waitSeconds,
} from "../../domain/audit/recording.ts";
import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";

function eventOf(aggregate: string, seq: number, id = `${aggregate}/${seq}`): AuditEvent {
  const same = { account_id: "a", stream_id: null, type: "stream.updated" as const, actor: "admin", request_id: null };
  return { id, aggregate, seq, ...same, occurred_at: "2026-01-01T00:00:00.000Z", data: {} };
}

const candidate = (aggregate: string, seq: number, attempts = 1, id?: string): Candidate => ({
  event: eventOf(aggregate, seq, id),
  attempts,
});

/** A record in memory, written as the decision says. */
class Ledger {
  readonly recorded = new Map<string, number>();
  readonly events: AuditEvent[] = [];

  take(candidates: Candidate[]) {
    const known = new Set(this.events.map(({ id }) => id));
    const decision = decideRecording({ recorded: this.recorded, known }, candidates);
    for (const { event, from } of decision.record) {
      expect(from).toBe(this.recorded.get(event.aggregate) ?? 0);
    }
    for (const { event } of decision.record) {
      this.events.push(event);
      this.recorded.set(event.aggregate, event.seq);
    }
    return decision;
  }
}

describe("decideRecording", () => {
  it("records what follows on, whatever order it comes in, and each once", () => {
    const { record, waiting } = decideRecording({ recorded: new Map([["a", 2]]), known: new Set(["a/2"]) }, [
      candidate("a", 4),
      candidate("b", 1),
      candidate("a", 3),
      candidate("a", 2),
      candidate("a", 4),
    ]);
    expect(record.map(({ event, from, oddity }) => [event.id, from, oddity])).toEqual([
      ["a/3", 2, null],
      ["a/4", 2, null],
      ["b/1", 0, null],
    ]);
    expect(waiting).toEqual([]);
  });

  it("lets what comes too early wait, until it has waited long", () => {
    const state = { recorded: new Map([["a", 2]]), known: new Set<string>() };
    expect(decideRecording(state, [candidate("a", 5, GAP_ATTEMPTS - 1)])).toEqual({ record: [], waiting: ["a/5"] });
    const { record } = decideRecording(state, [candidate("a", 5, GAP_ATTEMPTS), candidate("a", 6)]);
    expect(record.map(({ event, oddity }) => [event.seq, oddity])).toEqual([
      [5, "gap"],
      [6, null],
    ]);
  });

  it("gives what comes after its gap was closed the next number: nothing is dropped that is not recorded", () => {
    const { record } = decideRecording({ recorded: new Map([["a", 6]]), known: new Set(["a/6"]) }, [candidate("a", 4), candidate("a", 7)]);
    expect(record.map(({ event, oddity }) => [event.id, event.seq, oddity])).toEqual([
      ["a/4", 7, "renumbered"],
      ["a/7", 8, "renumbered"],
    ]);
  });

  it("never loses, doubles or reorders, however the queue deals the events out", () => {
    const deals = fc.array(
      fc.array(fc.record({ aggregate: fc.constantFrom("a", "b", "c"), seq: fc.integer({ min: 1, max: 12 }) }), { maxLength: 8 }),
      {
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(deals, (batches) => {
        const ledger = new Ledger();
        for (const batch of batches) ledger.take(batch.map(({ aggregate, seq }) => candidate(aggregate, seq)));
        // What is left comes in the end.
        for (let round = 0; round < 2; round++) {
          ledger.take(["a", "b", "c"].flatMap((aggregate) => Array.from({ length: 12 }, (_, index) => candidate(aggregate, 12 - index))));
        }
        for (const aggregate of ["a", "b", "c"]) {
          const own = ledger.events.filter((event) => event.aggregate === aggregate);
          expect(own.map(({ id }) => id)).toEqual(Array.from({ length: 12 }, (_, index) => `${aggregate}/${index + 1}`));
        }
      }),
    );
  });

  it("keeps every event once even where numbers are lost for ever", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (numbers) => {
        const ledger = new Ledger();
        for (const seq of numbers) ledger.take([candidate("a", seq, GAP_ATTEMPTS)]);
        expect(ledger.events.map(({ id }) => id)).toEqual(numbers.map((seq) => `a/${seq}`));
        const recorded = ledger.events.map(({ seq }) => seq);
        expect(recorded).toEqual([...new Set(recorded)].sort((x, y) => x - y));
      }),
    );
  });
});

describe("delays", () => {
  it("an event that failed is back long before a later one stops waiting for it", () => {
    const waits = (attempts: number) => Array.from({ length: attempts }, (_, index) => waitSeconds(index + 1));
    const patience = waits(GAP_ATTEMPTS - 1)
      .slice(RESEND_ATTEMPTS)
      .reduce((sum, seconds) => sum + seconds, 0);
    expect(patience).toBeGreaterThan(5 * failureSeconds(RESEND_ATTEMPTS));
    expect(waitSeconds(1)).toBe(1);
  });
});

describe("countFitting", () => {
  it("takes as many as fit, and at least one", () => {
    expect(countFitting([1, 2, 3], 6)).toBe(3);
    expect(countFitting([1, 2, 3], 5)).toBe(2);
    expect(countFitting([9, 1], 5)).toBe(1);
    expect(countFitting([], 5)).toBe(0);
  });
});
