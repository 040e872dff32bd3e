import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ANNOUNCE_INTERVAL_MS, Announcer } from "../../domain/audience/announcer.ts";
import { Audience, GRACE_MS, SILENT_AFTER_MS } from "../../domain/audience/audience.ts";
import { CLIENT_LIMIT, METADATA_LIMIT, spendMessage } from "../../domain/audience/message-limit.ts";
import { decideReplay, type SentEvent } from "../../domain/audience/replay.ts";

describe("Audience", () => {
  it("counts viewers, not sockets", () => {
    const audience = new Audience<string>();
    expect(audience.join("a", "socket 1", 0)).toBeNull();
    expect(audience.join("a", "socket 2", 1)).toBe("socket 1");
    expect(audience.join("b", "socket 3", 2)).toBeNull();
    expect(audience.count).toBe(2);
    expect(audience.leave("a", "socket 1")).toBe(false);
    expect(audience.count).toBe(2);
    expect(audience.leave("a", "socket 2")).toBe(true);
    expect([audience.count, audience.connected]).toEqual([1, 1]);
  });

  it("counts who is waited for, apart from who is connected, until then", () => {
    const audience = new Audience<string>();
    audience.join("a", "1", 0);
    audience.expect("a", GRACE_MS);
    audience.expect("b", GRACE_MS);
    audience.expect("c", GRACE_MS);
    expect([audience.count, audience.connected]).toEqual([3, 1]);
    audience.join("b", "2", 1_000);
    expect([audience.count, audience.connected]).toEqual([3, 2]);
    expect(audience.nextSweepAt()).toBe(GRACE_MS);
    expect(audience.sweep(GRACE_MS - 1, () => null).lapsed).toEqual([]);
    expect(audience.sweep(GRACE_MS, () => null)).toEqual({ silent: [], lapsed: ["c"] });
    expect([audience.count, audience.connected]).toEqual([2, 2]);
  });

  it("is, after any history, the set of viewers whose socket is open and has answered within 65 s", () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant("join" as const), viewer: fc.nat(3) }),
      fc.record({ kind: fc.constantFrom("close" as const, "ping" as const), socket: fc.nat(30) }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
      fc.constant({ kind: "sweep" as const }),
      fc.constant({ kind: "wake" as const }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
        let audience = new Audience<number>();
        let now = 0;
        const sockets: { viewer: string; open: boolean; seenAt: number; joinedAt: number }[] = [];
        const close = (socket: number) => {
          const known = sockets[socket];
          if (known?.open) known.open = false;
        };
        for (const next of commands) {
          if (next.kind === "join") {
            const viewer = `viewer ${next.viewer}`;
            sockets.push({ viewer, open: true, seenAt: now, joinedAt: now });
            const replaced = audience.join(viewer, sockets.length - 1, now);
            if (replaced !== null) close(replaced);
          } else if (next.kind === "close") {
            const known = sockets[next.socket];
            if (known?.open) {
              close(next.socket);
              audience.leave(known.viewer, next.socket);
            }
          } else if (next.kind === "ping") {
            const known = sockets[next.socket];
            if (known?.open) known.seenAt = now;
          } else if (next.kind === "wait") {
            now += next.ms;
          } else if (next.kind === "sweep") {
            for (const silent of audience.sweep(now, (socket) => sockets[socket]?.seenAt ?? null).silent) close(silent);
            const answering = sockets.filter((socket) => socket.open && now - socket.seenAt < SILENT_AFTER_MS);
            expect(audience.count).toBe(new Set(answering.map((socket) => socket.viewer)).size);
          } else {
            audience = new Audience<number>();
            for (const [index, socket] of sockets.entries()) if (socket.open) audience.join(socket.viewer, index, socket.joinedAt);
          }
          expect(audience.count).toBe(new Set(sockets.filter((socket) => socket.open).map((socket) => socket.viewer)).size);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Announcer", () => {
  it("tells at once when it was quiet, then at most once a second, and never forgets the last change", () => {
    const announcer = new Announcer();
    expect(announcer.changed(5_000, 10)).toBe(0);
    announcer.announced(5_000);
    expect(announcer.changed(5_200, 10)).toBe(ANNOUNCE_INTERVAL_MS - 200);
    expect(announcer.changed(5_300, 10)).toBeNull();
    announcer.announced(6_000);
    expect(announcer.changed(9_000, 10)).toBe(0);
  });

  it("is slower where the audience is huge, and is not silenced by a clock that was set back", () => {
    const announcer = new Announcer();
    announcer.announced(100_000);
    expect(announcer.changed(101_000, 30_000)).toBe(2_000);
    announcer.announced(103_000);
    expect(announcer.changed(104_000, 1_000_000)).toBe(4_000);
    announcer.announced(108_000);
    expect(announcer.changed(3_000, 10)).toBe(ANNOUNCE_INTERVAL_MS);
  });
});

describe("spendMessage", () => {
  it("allows ten in ten seconds", () => {
    let budget = { windowStart: 0, used: 0 };
    for (let i = 0; i < 10; i++) budget = spendMessage(budget, CLIENT_LIMIT, 1_000) ?? budget;
    expect(spendMessage(budget, CLIENT_LIMIT, 9_999)).toBeNull();
    expect(spendMessage(budget, CLIENT_LIMIT, 10_000)).toEqual({ windowStart: 10_000, used: 1 });
  });

  it("does not hold a clock that was set back against anybody", () => {
    expect(spendMessage({ windowStart: 10_000, used: 5 }, METADATA_LIMIT, 4_000)).toEqual({ windowStart: 4_000, used: 1 });
  });
});

describe("decideReplay", () => {
  const events = (count: number, bytes: number, at = 0): SentEvent[] =>
    Array.from({ length: count }, (_, index) => ({ seq: index + 1, at, text: "x", bytes, endsAt: (index + 1) * bytes }));

  it("sends what was missed, and nothing to who missed nothing", () => {
    expect(decideReplay(events(5, 100), 5, 2, 1_000)).toMatchObject({ gap: null, events: [{ seq: 3 }, { seq: 4 }, { seq: 5 }] });
    expect(decideReplay(events(5, 100), 5, 5, 1_000)).toEqual({ gap: null, events: [] });
    expect(decideReplay([], 0, 0, 1_000)).toEqual({ gap: null, events: [] });
  });

  it("names what is too old, not kept any more, or too much", () => {
    expect(decideReplay(events(5, 100), 5, 0, 120_001)).toEqual({ gap: { from: 1, to: 5 }, events: [] });
    expect(decideReplay(events(5, 100).slice(3), 5, 1, 0)).toMatchObject({ gap: { from: 2, to: 3 }, events: [{ seq: 4 }, { seq: 5 }] });
    const { gap, events: sent } = decideReplay(events(20, 4_000), 20, 0, 0);
    expect(gap).toEqual({ from: 1, to: 20 - sent.length });
    expect(sent.length).toBe(8);
    expect(decideReplay([], 7, 3, 0)).toEqual({ gap: { from: 4, to: 7 }, events: [] });
  });

  it("leaves no hole where a clock was set back", () => {
    const at = [1_000_000, 700_000, 1_000_500];
    const kept = events(3, 100).map((event, index) => ({ ...event, at: at[index] as number }));
    expect(decideReplay(kept, 3, 0, 1_001_000)).toMatchObject({ gap: { from: 1, to: 2 }, events: [{ seq: 3 }] });
  });
});
