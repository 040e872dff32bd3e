import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { Heartbeat } from "../../domain/protocol/origin-link.ts";
import { MediaTurns } from "../../origin/upload/media-turns.ts";
import type { Uploader } from "../../origin/upload/uploader.ts";
import { announce, pushSegment, startUploadRig, type UploadRig } from "./upload-rig.ts";

let rig: UploadRig;
afterEach(() => rig.stop());

const until = { timeout: 10_000, interval: 20 };
const HEALTH: Heartbeat = {
  ...{ fps: 30, bitrate_kbps: 1500, dropped_frames: 0, keyframe_interval: 2, speed: 1, timestamp_jumps: 0 },
  ...{ health: "good", health_reasons: [], warnings: [] },
};
const CONTINUE = { action: "continue", reason: null };
const heartbeatsAlone = () => rig.server.seen.filter((path) => path.endsWith("/heartbeat")).length;

function pushPart(uploader: Uploader, rendition: string, msn: number, part: number, size = 1000): void {
  uploader.part({ rendition, msn, part, duration: 0.5, independent: part === 0, bytes: Buffer.alloc(size, part + 1) });
}

/** An uploader whose tracks the edge knows. */
async function startAnnounced(): Promise<Uploader> {
  rig = await startUploadRig();
  const uploader = rig.uploader();
  announce(uploader);
  await expect.poll(() => rig.server.calls.length, until).toBe(1);
  await sleep(50);
  return uploader;
}

describe("parts", () => {
  it("that wait go in one call, of all renditions, those of each in order; bytes come as they were", async () => {
    rig = await startUploadRig();
    const uploader = rig.uploader();
    for (let part = 0; part < 4; part++) for (const rendition of ["source", "audio"]) pushPart(uploader, rendition, 1, part);
    announce(uploader);
    await uploader.drain(5000);
    expect(rig.server.bundles).toHaveLength(1);
    for (const rendition of ["source", "audio"]) expect(rig.server.media(rendition, "parts")).toEqual(["1/0", "1/1", "1/2", "1/3"]);
    expect(rig.spool.memoryUsed).toBe(0);
  });

  it("are split where they are too many for one call", async () => {
    rig = await startUploadRig();
    const uploader = rig.uploader();
    for (let part = 0; part < 40; part++) pushPart(uploader, "source", 1, part);
    for (let part = 0; part < 3; part++) pushPart(uploader, "source", 2, part, 3 << 20);
    announce(uploader);
    await uploader.drain(5000);
    expect(rig.server.bundles.map(({ parts }) => parts.length)).toEqual([32, 9, 1, 1]);
  });

  it("of the picture go at once and take the sound along that waits for them; sound that nobody takes along goes alone", async () => {
    const uploader = await startAnnounced();
    pushPart(uploader, "audio", 1, 0);
    await sleep(5);
    expect(rig.server.seen.filter((path) => path.endsWith("/parts"))).toEqual([]);
    pushPart(uploader, "source", 1, 0);
    await expect.poll(() => rig.server.bundles.length, until).toBe(1);
    pushPart(uploader, "audio", 1, 1);
    await expect.poll(() => rig.server.bundles.length, until).toBe(2);
    expect(rig.server.bundles.map(({ parts }) => parts)).toEqual([["audio/1/0", "source/1/0"], ["audio/1/1"]]);
  });

  it("one that is refused does not keep the others of its call from being stored, nor is it sent again", async () => {
    rig = await startUploadRig();
    const failures: string[] = [];
    const uploaded: string[] = [];
    const uploader = rig.uploader({ onFailed: () => failures.push("failed"), onUploaded: (what) => uploaded.push(what) });
    rig.server.refusePart = (name) => (name === "source/1/1" ? { status: 422, error: "part_too_long", message: "too long" } : null);
    for (let part = 0; part < 4; part++) pushPart(uploader, "source", 1, part);
    announce(uploader);
    await uploader.drain(5000);
    expect(rig.server.bundles).toHaveLength(1);
    expect(rig.server.media("source", "parts")).toEqual(["1/0", "1/2", "1/3"]);
    expect(failures).toHaveLength(1);
    expect(uploaded).toHaveLength(3);
    expect(rig.lines.map(({ message, fields }) => [message, fields.error])).toEqual([["upload failed", "too long"]]);
  });

  it("a call that fails is repeated; one that is refused as a whole is taken apart", async () => {
    rig = await startUploadRig();
    const failures: string[] = [];
    const uploader = rig.uploader({ onFailed: () => failures.push("failed") });
    let calls = 0;
    rig.server.answer = (_, path) => {
      if (!path.endsWith("/parts")) return { status: 200, json: {} };
      calls += 1;
      if (calls <= 2) return { status: 503, json: { error: "busy" } };
      return calls === 3 || calls === 5 ? { status: 400, json: { error: "invalid_request", message: "no" } } : { status: 200 };
    };
    for (let part = 0; part < 3; part++) pushPart(uploader, "source", 1, part);
    announce(uploader);
    await uploader.drain(5000);
    expect(rig.server.media("source", "parts")).toEqual(["1/0", "1/2"]);
    expect(failures).toHaveLength(1);
    expect(calls).toBe(6);
  });
});

describe("a heartbeat", () => {
  it("goes alone and at once before the edge knows the tracks", async () => {
    rig = await startUploadRig();
    rig.server.answer = () => ({ status: 200, json: CONTINUE });
    expect(await rig.uploader().heartbeat(HEALTH)).toEqual(CONTINUE);
    expect(rig.server.seen).toEqual(["/stream/1/heartbeat"]);
  });

  it("goes along with parts that leave soon", async () => {
    const uploader = await startAnnounced();
    const heartbeat = uploader.heartbeat(HEALTH);
    pushPart(uploader, "source", 1, 0);
    expect(await heartbeat).toEqual(CONTINUE);
    expect(rig.server.bundles).toEqual([{ parts: ["source/1/0"], hasHeartbeat: true }]);
    expect(heartbeatsAlone()).toBe(0);
  });

  it("goes alone where no parts leave, where theirs fail, and where their answer does not come", async () => {
    const uploader = await startAnnounced();
    rig.server.answer = (_, path) => (path.endsWith("/heartbeat") ? { status: 200, json: { action: "stop", reason: "deleted" } } : null);
    expect(await uploader.heartbeat(HEALTH)).toEqual({ action: "stop", reason: "deleted" });
    expect(heartbeatsAlone()).toBe(1);
    const riding = uploader.heartbeat(HEALTH);
    pushPart(uploader, "source", 1, 0);
    await expect.poll(() => rig.server.seen.at(-1), until).toContain("/parts");
    const startedAt = performance.now();
    expect(await riding).toEqual({ action: "stop", reason: "deleted" });
    // A lease lasts for five seconds.
    expect(performance.now() - startedAt).toBeLessThan(4000);
    expect(heartbeatsAlone()).toBe(2);
    uploader.abort();
  });

  it("rejects as a call does", async () => {
    const uploader = await startAnnounced();
    rig.server.answer = () => ({ status: 409, json: { error: "fenced", message: "no lease" } });
    await expect(uploader.heartbeat(HEALTH)).rejects.toMatchObject({ code: "fenced" });
  });
});

describe("turns", () => {
  it("where the edge is short of capacity segments go before parts, and streams in turn", async () => {
    rig = await startUploadRig();
    const turns = new MediaTurns();
    const signal = new AbortController().signal;
    const order: string[] = [];
    const gates: PromiseWithResolvers<void>[] = [];
    const blockers: Promise<void>[] = [];
    for (let call = 0; call < 64; call++) {
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      blockers.push(turns.take("segment", "busy", signal, () => gate.promise));
    }
    const take = (kind: "segment" | "part", stream: string) =>
      turns.take(kind, stream, signal, async () => void order.push(`${kind} ${stream}`));
    const all = [take("part", "a"), take("part", "a"), take("part", "b")];
    all.push(take("segment", "a"), take("segment", "a"), take("segment", "a"), take("segment", "b"));
    await sleep(5);
    expect(order).toEqual([]);
    gates[0]?.resolve();
    await Promise.all(all);
    expect(order).toEqual(["segment a", "segment b", "segment a", "segment a", "part a", "part b", "part a"]);
    for (const gate of gates) gate.resolve();
    await Promise.all(blockers);
  });

  it("who is cut short waits no longer, and takes nobody's turn", async () => {
    rig = await startUploadRig();
    const turns = new MediaTurns();
    const gate = Promise.withResolvers<void>();
    const blockers = Array.from({ length: 64 }, () => turns.take("part", "busy", new AbortController().signal, () => gate.promise));
    const abort = new AbortController();
    const cut = turns.take("segment", "a", abort.signal, async () => "through");
    abort.abort();
    expect(await cut).toBe("through");
    gate.resolve();
    await Promise.all(blockers);
    expect(await turns.take("part", "b", new AbortController().signal, async () => "next")).toBe("next");
  });

  it("a slow edge gets each stream's segments, is not taken for away, and hears heartbeats in time", async () => {
    rig = await startUploadRig();
    // One call at a time, 4 ms each: 250 a second.
    let busyUntil = 0;
    rig.server.answer = (_, path) => {
      const now = performance.now();
      if (path.endsWith("/heartbeat") || path.endsWith("/tracks")) return { status: 200, json: CONTINUE };
      busyUntil = Math.max(busyUntil, now) + 4;
      return { status: 200, json: {}, delayMs: busyUntil - now };
    };
    const uploaders = Array.from({ length: 30 }, (_, index) =>
      rig.uploader({ lease: { stream: `stream${index}`, epoch: 1, lease: "1.x" } }),
    );
    for (const uploader of uploaders) announce(uploader);
    for (let msn = 1; msn <= 4; msn++) {
      for (const uploader of uploaders) {
        pushSegment(uploader, "source", msn, 4000);
        pushSegment(uploader, "audio", msn, 400);
      }
      await sleep(100);
    }
    await Promise.all(uploaders.map((uploader) => uploader.heartbeat(HEALTH)));
    await Promise.all(uploaders.map((uploader) => uploader.drain(15_000)));
    for (const rendition of ["source", "audio"]) expect(rig.server.media(rendition, "segments")).toHaveLength(120);
    expect(rig.server.probes).toBe(0);
    expect(rig.lines).toEqual([]);
  });
});
