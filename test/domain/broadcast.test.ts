import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Broadcast, LEASE_MS } from "../../domain/broadcast/broadcast.ts";
import type { EndReason } from "../../domain/protocol/origin-link.ts";

const WINDOW = 60_000;
let leases = 0;

function publish(broadcast: Broadcast, now: number, keyId = "key") {
  leases += 1;
  return { ...broadcast.publish({ originId: "origin", keyId, backup: false, profile: "passthrough", lease: `lease${leases}` }, now) };
}

function live(now = 0) {
  const broadcast = new Broadcast();
  const connection = publish(broadcast, now);
  broadcast.goLive(now);
  return { broadcast, connection };
}

describe("Broadcast", () => {
  it("goes pending → active with the first frame, not with the publish", () => {
    const broadcast = new Broadcast();
    const connection = publish(broadcast, 0);
    expect([broadcast.status, connection.broadcast, connection.epoch]).toEqual(["pending", 1, 1]);
    expect(broadcast.goLive(100)).toEqual({ kind: "started", broadcast: 1 });
    expect(broadcast.goLive(200)).toBeNull();
    expect(broadcast.status).toBe("active");
  });

  it("completes at once where the encoder stops, and reopens as the next broadcast", () => {
    const { broadcast } = live();
    expect(broadcast.end("unpublished", null, WINDOW, 10_000)).toMatchObject({
      kind: "ended",
      status: "completed",
      startedAt: 0,
      endedAt: 10_000,
    });
    expect(publish(broadcast, 20_000)).toMatchObject({ broadcast: 2, epoch: 2 });
    expect(broadcast.status).toBe("completed");
    expect(broadcast.goLive(20_100)).toEqual({ kind: "started", broadcast: 2 });
  });

  it.each(["connection_lost", "idle", "input_changed", "origin_shutdown", "ingest_lost"] as const)(
    "waits for the encoder after %s, and goes on in the same broadcast",
    (reason) => {
      const { broadcast } = live();
      expect(broadcast.end(reason, null, WINDOW, 1_000)).toEqual({ kind: "reconnecting", broadcast: 1, reason, deadline: 61_000 });
      expect(publish(broadcast, 30_000)).toMatchObject({ broadcast: 1, epoch: 2 });
      expect(broadcast.goLive(30_500)).toEqual({ kind: "resumed", broadcast: 1 });
    },
  );

  it("completes when the window runs out, and at once where there is none", () => {
    const { broadcast } = live();
    broadcast.end("connection_lost", null, WINDOW, 0);
    expect(broadcast.nextTickAt()).toBe(60_000);
    expect(broadcast.tick(WINDOW, 59_999)).toBeNull();
    expect(broadcast.tick(WINDOW, 60_000)).toMatchObject({ kind: "ended", status: "completed", reason: "connection_lost" });
    expect(live().broadcast.end("connection_lost", null, 0, 5)).toMatchObject({ kind: "ended", status: "completed" });
  });

  it.each(["transcoder_failed", "unsupported_input"] as const)("ends with an error after %s", (reason) => {
    const { broadcast } = live();
    expect(broadcast.end(reason, "in words", WINDOW, 5)).toMatchObject({ kind: "ended", status: "error", reason: "in words" });
    expect(broadcast.status).toBe("error");
  });

  it("lets no second encoder in while the lease is alive, and any after", () => {
    const { broadcast } = live();
    expect(() => publish(broadcast, LEASE_MS - 1)).toThrow("another encoder is live");
    broadcast.renew(4_000);
    expect(() => publish(broadcast, 4_000 + LEASE_MS - 1)).toThrow("another encoder is live");
    expect(publish(broadcast, 4_000 + LEASE_MS)).toMatchObject({ broadcast: 1, epoch: 2 });
  });

  it("fences the older epoch, and any other lease", () => {
    const { broadcast, connection } = live();
    const next = publish(broadcast, LEASE_MS);
    expect(() => broadcast.authorize(connection.epoch, connection.lease)).toThrow("does not hold the lease");
    expect(() => broadcast.authorize(next.epoch, "1.other")).toThrow("does not hold the lease");
    expect(broadcast.authorize(next.epoch, next.lease).epoch).toBe(next.epoch);
  });

  it("gives up a silent origin when its lease runs out, and takes it back if it returns first", () => {
    const { broadcast, connection } = live();
    expect(broadcast.tick(WINDOW, LEASE_MS)).toMatchObject({ kind: "reconnecting", reason: "origin_lost" });
    expect(broadcast.authorize(connection.epoch, connection.lease)).toBeTruthy();
    expect(broadcast.renew(30_000)).toEqual({ kind: "resumed", broadcast: 1 });
  });

  it("gives an encoder that came back at the last moment its lease's time, past the deadline", () => {
    const { broadcast } = live();
    broadcast.end("connection_lost", null, WINDOW, 0);
    publish(broadcast, 59_900);
    expect(broadcast.nextTickAt()).toBe(59_900 + LEASE_MS);
    expect(broadcast.tick(WINDOW, 60_000)).toBeNull();
    expect(broadcast.goLive(60_500)).toEqual({ kind: "resumed", broadcast: 1 });
  });

  it("is over for its holder too: a late sign of life opens nothing again", () => {
    const { broadcast, connection } = live();
    expect(broadcast.tick(0, LEASE_MS)).toMatchObject({ kind: "ended", status: "completed" });
    expect(() => broadcast.authorize(connection.epoch, connection.lease)).toThrow("does not hold the lease");
    expect(broadcast.renew(LEASE_MS + 1)).toBeNull();
    expect(broadcast.status).toBe("completed");
  });

  it("ends a stream that never was live when it is deleted, so that those who wait are told", () => {
    expect(new Broadcast().delete(5)).toMatchObject({ kind: "ended", reason: "deleted", broadcast: 0 });
  });

  it("ends for good when deleted", () => {
    const { broadcast, connection } = live();
    expect(broadcast.delete(10)).toMatchObject({ kind: "ended", reason: "deleted" });
    expect(() => broadcast.authorize(connection.epoch, connection.lease)).toThrow();
    expect(() => publish(broadcast, 10)).toThrow("deleted");
  });

  it("leaves no trace of an encoder that never sent a frame", () => {
    const broadcast = new Broadcast();
    publish(broadcast, 0);
    expect(broadcast.end("connection_lost", null, WINDOW, 10)).toBeNull();
    expect(broadcast.status).toBe("pending");
    expect(publish(broadcast, 20)).toMatchObject({ broadcast: 1, epoch: 2 });
  });

  it("cuts off whoever publishes with a revoked key, says so, and lets another key go on", () => {
    const { broadcast, connection } = live();
    expect(broadcast.revokeKey("other", WINDOW, 100)).toBeNull();
    expect(broadcast.connection).not.toBeNull();
    const lost = { kind: "reconnecting", broadcast: 1, reason: "key_revoked", deadline: 200 + WINDOW };
    expect(broadcast.revokeKey("key", WINDOW, 200)).toEqual(lost);
    expect(() => broadcast.authorize(connection.epoch, connection.lease)).toThrow("revoked");
    expect(() => publish(broadcast, 300)).toThrow("revoked");
    expect(() => publish(broadcast, 300, "other")).toThrow("revoked");
    publish(broadcast, 300, "third");
    expect(broadcast.goLive(400)).toEqual({ kind: "resumed", broadcast: 1 });
  });

  it("waits for another encoder, too, where the one with the revoked key had not sent a frame yet", () => {
    const { broadcast } = live();
    publish(broadcast, 6_000, "second");
    expect(broadcast.revokeKey("second", WINDOW, 6_100)).toMatchObject({ kind: "reconnecting", reason: "key_revoked" });
    expect(broadcast.nextTickAt()).toBe(6_100 + WINDOW);
  });

  it("never lowers an epoch or a broadcast, has one holder, and is the same after being kept and restored", () => {
    const reasons: EndReason[] = ["unpublished", "connection_lost", "transcoder_failed"];
    const command = fc.record({
      kind: fc.constantFrom("publish", "next", "live", "renew", "end", "tick", "revoke", "restore"),
      wait: fc.integer({ min: 0, max: 20_000 }),
      reason: fc.constantFrom(...reasons),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        let broadcast = new Broadcast();
        let now = 0;
        let epoch = 0;
        let number = 0;
        let keys = 0;
        for (const { kind, wait, reason } of commands) {
          now += wait;
          if (kind === "publish") {
            try {
              const connection = publish(broadcast, now, `key ${keys}`);
              expect(connection.epoch).toBe(epoch + 1);
              epoch = connection.epoch;
            } catch {
              expect(broadcast.connection?.expiresAt).toBeGreaterThan(now);
            }
          } else if (kind === "next") {
            const held = broadcast.connection;
            if (held === null) continue;
            leases += 1;
            expect(broadcast.next(held.epoch, held.lease, `lease${leases}`, now)).toMatchObject({ epoch: epoch + 1, live: held.live });
            expect(() => broadcast.authorize(held.epoch, held.lease)).toThrow("does not hold the lease");
            epoch += 1;
          } else if (kind === "live") broadcast.goLive(now);
          else if (kind === "renew") broadcast.renew(now);
          else if (kind === "end") broadcast.end(reason, null, WINDOW, now);
          else if (kind === "tick") broadcast.tick(WINDOW, now);
          else if (kind === "revoke") broadcast.revokeKey(`key ${keys++}`, WINDOW, now);
          else broadcast = Broadcast.restore(JSON.parse(JSON.stringify(broadcast.snapshot())), now);
          expect(broadcast.number).toBeGreaterThanOrEqual(number);
          number = broadcast.number;
          if (broadcast.status === "active") expect(broadcast.connection).not.toBeNull();
        }
      }),
      { numRuns: 2000 },
    );
  });
});
