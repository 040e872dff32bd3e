import { describe, expect, it } from "vitest";
import { Broadcast, LEASE_MS, SILENCE_MS } from "../../domain/broadcast/broadcast.ts";
import { STANDBY_MS } from "../../domain/broadcast/standbys.ts";

const WINDOW = 60_000;
const ASK_MS = 500;

/** A live encoder whose media comes twice a second, a backup that asks as often, and a clock. */
class Scene {
  broadcast = new Broadcast();
  now = 0;
  #leases = 0;

  constructor() {
    this.publish();
    this.broadcast.goLive(0);
    this.broadcast.standBy(this.encoder("backup-key", true), "ticket", 0);
  }

  encoder(keyId = "key", backup = false) {
    return { originId: backup ? "origin-b" : "origin-a", keyId, backup, profile: "passthrough" as const };
  }

  publish(keyId = "key", backup = false) {
    this.#leases += 1;
    return { ...this.broadcast.publish({ ...this.encoder(keyId, backup), lease: `lease${this.#leases}` }, this.now) };
  }

  ask() {
    this.#leases += 1;
    const asks = { ticket: "ticket", originId: "origin-b", profile: "passthrough" as const, lease: `lease${this.#leases}` };
    return this.broadcast.takeOver(asks, this.now);
  }

  /** Time passes in half seconds; the backup asks, unless it is told not to. Returns what it was given, if anything. */
  pass(ms: number, { media = true, renews = true, asks = true } = {}) {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += ASK_MS;
      if (renews) this.broadcast.renew(this.now);
      if (media) this.broadcast.noteMedia(this.now);
      const given = asks ? this.ask() : null;
      if (given !== null) return given;
    }
    return null;
  }
}

describe("a backup", () => {
  it("waits while the live encoder delivers, and takes over when nothing has come of it for 2 s, though its origin still says hello", () => {
    const scene = new Scene();
    expect(scene.pass(60_000)).toBeNull();
    const silentFrom = scene.now;
    const given = scene.pass(60_000, { media: false });
    expect(scene.now - silentFrom).toBe(SILENCE_MS);
    expect(given).toMatchObject({ broadcast: 1, epoch: 2, backup: true, keyId: "backup-key", originId: "origin-b", live: false });
    // Nobody hears of an end.
    expect(scene.broadcast.status).toBe("active");
    expect(scene.broadcast.goLive(scene.now)).toBeNull();
    expect(() => scene.broadcast.authorize(1, "1.lease1")).toThrow("does not hold the lease");
  });

  it("is given the same epoch again where the answer was lost on the way", () => {
    const scene = new Scene();
    const given = scene.pass(60_000, { media: false });
    expect(given).not.toBeNull();
    expect(scene.ask()).toMatchObject({ epoch: given?.epoch, lease: given?.lease });
    expect(scene.broadcast.lastEpoch).toBe(2);
  });

  it("gives an encoder that has just published more time for its first part", () => {
    const scene = new Scene();
    scene.broadcast = new Broadcast();
    scene.publish();
    scene.broadcast.standBy(scene.encoder("backup-key", true), "ticket", 0);
    expect(scene.pass(4_500, { media: false })).toBeNull();
    expect(scene.pass(500, { media: false })).not.toBeNull();
  });

  it("does not take silence for a failure that may be the edge's own: it must have asked all the while", () => {
    const scene = new Scene();
    scene.pass(4_000, { media: false, renews: false, asks: false });
    scene.broadcast.renew(scene.now);
    expect(scene.pass(1_500, { media: false })).toBeNull();
    scene.broadcast.noteMedia(scene.now);
    expect(scene.pass(1_500, { media: false })).toBeNull();
    expect(scene.pass(500, { media: false })).not.toBeNull();
  });

  it("takes over at once where the lease is free, after a loss and after a clean end, which does not complete the broadcast", () => {
    for (const reason of ["connection_lost", "unpublished", "transcoder_failed"] as const) {
      const scene = new Scene();
      scene.pass(3_000);
      const said = reason === "unpublished" ? "primary_ended" : reason;
      expect(scene.broadcast.end(reason, null, WINDOW, scene.now)).toMatchObject({ kind: "reconnecting", reason: said });
      expect(scene.pass(ASK_MS, { media: false })).toMatchObject({ broadcast: 1, epoch: 2 });
      expect(scene.broadcast.goLive(scene.now)).toEqual({ kind: "resumed", broadcast: 1 });
      // Its own end is an end: nobody stands by any more.
      expect(scene.broadcast.end("unpublished", null, WINDOW, scene.now)).toMatchObject({ kind: "ended", status: "completed" });
    }
  });

  it("is waited for, shortly, where the stream has no reconnect window", () => {
    const scene = new Scene();
    expect(scene.broadcast.end("unpublished", null, 0, 100)).toMatchObject({ kind: "reconnecting", deadline: 3_100 });
  });

  it("that has not asked for 3 s is not counted on, and after 5 s it must publish anew", () => {
    const scene = new Scene();
    scene.pass(3_500, { asks: false });
    expect(scene.broadcast.end("unpublished", null, WINDOW, scene.now)).toMatchObject({ kind: "ended" });
    scene.now = STANDBY_MS;
    expect(() => scene.ask()).toThrow("publish again");
    expect(() => new Scene().broadcast.takeOver({ ticket: "other", originId: "b", profile: "ladder", lease: "x" }, 0)).toThrow(
      "publish again",
    );
  });

  it("makes way for the primary at once, and the primary for nobody", () => {
    const scene = new Scene();
    const given = scene.pass(10_000, { media: false });
    scene.broadcast.goLive(scene.now);
    expect(() => scene.publish("key", true)).toThrow("another encoder is live");
    const primary = scene.publish();
    expect(primary).toMatchObject({ epoch: 3, broadcast: 1, backup: false });
    expect(() => scene.broadcast.authorize(given?.epoch ?? 0, given?.lease ?? "")).toThrow("does not hold the lease");
    expect(() => scene.publish()).toThrow("another encoder is live");
    expect(scene.broadcast.goLive(scene.now)).toBeNull();
  });

  it("with a revoked key, or of a deleted stream, never takes over", () => {
    const scene = new Scene();
    expect(scene.broadcast.revokeKey("backup-key", WINDOW, 100)).toBeNull();
    expect(() => scene.ask()).toThrow("publish again");
    expect(() => scene.broadcast.standBy(scene.encoder("backup-key", true), "again", 100)).toThrow("revoked");
    const deleted = new Scene();
    deleted.broadcast.delete(100);
    expect(() => deleted.ask()).toThrow("deleted");
  });

  it("is known after a loss of memory, and the live encoder has its time again", () => {
    const scene = new Scene();
    scene.pass(3_000);
    const kept = JSON.parse(JSON.stringify(scene.broadcast.snapshot()));
    scene.now += 60_000;
    scene.broadcast = Broadcast.restore(kept, scene.now);
    expect(scene.pass(1_500, { media: false })).toBeNull();
    expect(scene.pass(ASK_MS, { media: false })).toMatchObject({ epoch: 2 });
  });

  it("is one of a few: those that were silent the longest go", () => {
    const scene = new Scene();
    for (let i = 1; i <= 8; i++) scene.broadcast.standBy(scene.encoder(`key-${i}`, true), `ticket-${i}`, i);
    expect(scene.broadcast.standbyKeys).toEqual(["key-8", "key-7", "key-6", "key-5", "key-4", "key-3", "key-2", "key-1"]);
  });
});

describe("a further epoch of the same encoder", () => {
  it("is the same broadcast, and the same one where it is asked for again", () => {
    const { broadcast } = new Scene();
    const second = { ...broadcast.next(1, "1.lease1", "second", 1_000) };
    expect(second).toMatchObject({ epoch: 2, broadcast: 1, lease: "1.second", live: true, expiresAt: 1_000 + LEASE_MS });
    expect({ ...broadcast.next(1, "1.lease1", "third", 1_100) }).toEqual(second);
    expect({ ...broadcast.next(2, "1.second", "third", 1_200) }).toMatchObject({ epoch: 3, lease: "1.third" });
    expect(() => broadcast.next(1, "1.lease1", "fourth", 1_300)).toThrow("does not hold the lease");
    expect(broadcast.end("unpublished", null, WINDOW, 9_000)).toMatchObject({ kind: "ended", status: "completed" });
  });
});
