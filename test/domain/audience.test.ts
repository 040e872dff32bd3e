import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ANNOUNCE_INTERVAL_MS, Announcer } from "../../domain/audience/announcer.ts";
import { Audience, SILENT_AFTER_MS } from "../../domain/audience/audience.ts";
import { spendMessage } from "../../domain/audience/message-limit.ts";

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
    expect([audience.count, audience.peak]).toEqual([1, 2]);
  });

  it("starts a broadcast's peak from those who wait for it", () => {
    const audience = new Audience<string>(7);
    audience.join("a", "1", 0);
    expect(audience.peak).toBe(7);
    audience.restartPeak();
    expect(audience.peak).toBe(1);
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
            for (const silent of audience.sweep(now, (socket) => sockets[socket]?.seenAt ?? null)) close(silent);
            const answering = sockets.filter((socket) => socket.open && now - socket.seenAt < SILENT_AFTER_MS);
            expect(audience.count).toBe(new Set(answering.map((socket) => socket.viewer)).size);
          } else {
            audience = new Audience<number>(audience.peak);
            for (const [index, socket] of sockets.entries()) if (socket.open) audience.join(socket.viewer, index, socket.joinedAt);
          }
          expect(audience.count).toBe(new Set(sockets.filter((socket) => socket.open).map((socket) => socket.viewer)).size);
          expect(audience.peak).toBeGreaterThanOrEqual(audience.count);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Announcer", () => {
  it("tells at once when it was quiet, then at most once a second, and never forgets the last change", () => {
    const announcer = new Announcer();
    expect(announcer.changed(5_000)).toBe(0);
    announcer.announced(5_000);
    expect(announcer.changed(5_200)).toBe(ANNOUNCE_INTERVAL_MS - 200);
    expect(announcer.changed(5_300)).toBeNull();
    announcer.announced(6_000);
    expect(announcer.changed(9_000)).toBe(0);
  });
});

describe("spendMessage", () => {
  it("allows ten in ten seconds", () => {
    let budget = { windowStart: 0, used: 0 };
    for (let i = 0; i < 10; i++) budget = spendMessage(budget, 1_000) ?? budget;
    expect(spendMessage(budget, 9_999)).toBeNull();
    expect(spendMessage(budget, 10_000)).toEqual({ windowStart: 10_000, used: 1 });
  });
});
