import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EdgeRefusal, EdgeUnavailable } from "../../origin/upload/edge-client.ts";
import { startUploadRig, type UploadRig } from "./upload-rig.ts";

let rig: UploadRig;
beforeEach(async () => {
  rig = await startUploadRig();
});
afterEach(() => rig.stop());

const ANSWER = {
  ...{
    stream_id: "stream",
    broadcast: 1,
    epoch: 2,
    lease: "1.x",
    next_msn: 5,
    profile: "passthrough",
    part_target: 0.5,
    segment_target: 2,
  },
  ...{ declared: null, now: 1_700_000_000_000, pdt_floor: null },
};
const STANDBY = { standby: true, stream_id: "stream", ticket: "ticket" };
const PUBLISH = { stream_key: "key", origin_id: "box", encoder: { software: null }, backup: true };
const LEASE = { stream: "stream", epoch: 1, lease: "1.x" };
const until = { timeout: 10_000, interval: 20 };
const signal = () => AbortSignal.timeout(8000);

describe("calls", () => {
  it("a backup's publish and its questions are answered with an epoch or with a place to stand by", async () => {
    let turn = false;
    rig.server.answer = () => (turn ? { status: 200, json: ANSWER } : { status: 202, json: STANDBY });
    const waiting = await rig.edge.publish(PUBLISH, signal());
    expect(waiting).toEqual(STANDBY);
    expect(await rig.edge.standby("stream", { ticket: "ticket", origin_id: "box" }, signal())).toEqual(STANDBY);
    turn = true;
    expect(await rig.edge.standby("stream", { ticket: "ticket", origin_id: "box" }, signal())).toEqual(ANSWER);
    expect(await rig.edge.next(LEASE, { origin_id: "box" }, signal())).toEqual(ANSWER);
    expect(rig.server.calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /publish",
      "POST /stream/standby",
      "POST /stream/standby",
      "POST /stream/1/next",
    ]);
  });

  it("a refusal carries its code and words; an answer that is none of the edge's is no refusal", async () => {
    rig.server.answer = () => ({ status: 409, json: { error: "already_live", message: "another encoder is live" } });
    const refusal = await rig.edge.publish(PUBLISH, signal()).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(EdgeRefusal);
    expect(refusal).toMatchObject({ status: 409, code: "already_live", message: "another encoder is live" });
    rig.server.answer = () => ({ status: 200, json: { welcome: "to this hotel" } });
    await expect(rig.edge.publish(PUBLISH, signal())).rejects.toBeInstanceOf(EdgeUnavailable);
  });

  it("keeps its connections, and opens no more than it needs", async () => {
    for (let call = 0; call < 50; call++) await rig.edge.call(LEASE, "PUT", "/source/1/0?duration=0.5", Buffer.alloc(1000));
    expect(rig.server.connections).toBeLessThanOrEqual(2);
    expect(rig.server.calls).toHaveLength(50);
  });

  it("can be cut short", async () => {
    rig.server.answer = () => null;
    const started = performance.now();
    await expect(rig.edge.call(LEASE, "PUT", "/source/1?x", Buffer.alloc(10), AbortSignal.timeout(100))).rejects.toBeInstanceOf(
      EdgeUnavailable,
    );
    expect(performance.now() - started).toBeLessThan(3000);
    // Who gives up himself has learnt nothing of the edge.
    expect(rig.edge.health.away).toBe(false);
  });
});

describe("an edge that answers nobody", () => {
  it("is away once a call has waited long enough, and back with the first sign of life, whatever still hangs", async () => {
    rig.server.answer = () => null;
    const heartbeat = rig.edge.call(LEASE, "POST", "/heartbeat", {});
    const media = rig.edge.media(LEASE, "/source/1?duration=2&pdt=1", Buffer.alloc(4 << 20), new AbortController().signal);
    void media.catch(() => undefined);
    await expect(heartbeat).rejects.toBeInstanceOf(EdgeUnavailable);
    expect(rig.edge.health.away).toBe(true);
    // The media would wait for many seconds more on its connection.
    await expect(media).rejects.toBeInstanceOf(EdgeUnavailable);
    rig.server.answer = () => ({ status: 200, json: {} });
    await rig.edge.health.up(signal());
    expect(await rig.edge.call(LEASE, "POST", "/heartbeat", {})).toEqual({});
    expect(rig.lines.map(({ message }) => message)).toEqual(["the edge is away: media waits for it", "the edge answers again"]);
  });

  it("one broken connection is no outage: nothing is said, and calls go on", async () => {
    await rig.edge.call(LEASE, "POST", "/heartbeat", {});
    rig.server.answer = () => null;
    const broken = rig.edge.call(LEASE, "POST", "/heartbeat", {});
    void broken.catch(() => undefined);
    await expect.poll(() => rig.server.seen.length, until).toBe(2);
    rig.server.answer = () => ({ status: 200, json: {} });
    rig.server.breakConnections();
    await expect(broken).rejects.toBeInstanceOf(EdgeUnavailable);
    await rig.edge.health.up(signal());
    expect(await rig.edge.call(LEASE, "POST", "/heartbeat", {})).toEqual({});
    await sleep(300);
    expect(rig.lines).toEqual([]);
  });
});
