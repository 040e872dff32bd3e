import { describe, expect, it } from "vitest";
import { OriginMetrics } from "../../origin/metrics/origin-metrics.ts";
import type { OriginStatus } from "../../origin/status.ts";
import { originStatus, streamStatus } from "../fakes/origin-status.ts";

/** Every sample of an exposition, as `name{labels}` → value. */
async function scrape(metrics: OriginMetrics): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

const nova = (name: string) => `nova_streaming_${name}`;

describe("the origin's metrics", () => {
  it("count what happened", async () => {
    const metrics = new OriginMetrics(originStatus);
    metrics.publishAccepted();
    metrics.publishAccepted();
    metrics.publishEnded("unpublished", 90);
    metrics.publishEnded("connection_lost", 3);
    metrics.epochOpened("publish");
    metrics.epochOpened("overload");
    metrics.uploaded("part", 0.04);
    metrics.uploaded("part", 0.2);
    metrics.uploaded("segment", 0.3);
    metrics.uploadFailed();
    metrics.gapDeclared();
    metrics.transcoderRestarted();
    metrics.rungDropped();
    metrics.rungRestored();
    metrics.ingestRestarted();
    const found = await scrape(metrics);
    const counted = {
      publishes_accepted_total: 2,
      'publishes_ended_total{reason="unpublished"}': 1,
      'publishes_ended_total{reason="connection_lost"}': 1,
      'broadcast_errors_total{reason="connection_lost"}': 1,
      'broadcast_errors_total{reason="transcoder_failed"}': 0,
      'epochs_total{reason="publish"}': 1,
      'epochs_total{reason="overload"}': 1,
      'epochs_total{reason="recovered"}': 0,
      'rtmp_ingestion_latency_seconds_bucket{le="0.05"}': 1,
      'rtmp_ingestion_latency_seconds_bucket{le="0.25"}': 2,
      rtmp_ingestion_latency_seconds_count: 2,
      hls_segment_generation_seconds_count: 1,
      'stream_duration_seconds_bucket{le="60"}': 1,
      stream_duration_seconds_sum: 93,
      upload_failures_total: 1,
      gaps_total: 1,
      transcoder_restarts_total: 1,
      rungs_dropped_total: 1,
      rungs_restored_total: 1,
      ingest_restarts_total: 1,
    };
    expect(Object.fromEntries(Object.keys(counted).map((name) => [name, found.get(nova(name))]))).toEqual(counted);
    expect(found.has('nova_streaming_broadcast_errors_total{reason="unpublished"}')).toBe(false);
  });

  it("read the status at each scrape, and forget what is over", async () => {
    let status: OriginStatus = originStatus({
      draining: true,
      ingest: { pids: [7], connections: 12 },
      alarms: ["the spool's disk is full"],
      spool: { memoryBytes: 1000, diskBytes: 2000 },
      streams: [
        streamStatus(),
        streamStatus({ bitrate_kbps: 500, health: "poor" }),
        streamStatus({ profile: "ladder", transcoder_pid: 9, speed: 0.8, bitrate_kbps: 6000 }),
        streamStatus({ profile: "ladder", transcoder_pid: 10, speed: 0.99, health: null, bitrate_kbps: 0 }),
        streamStatus({ standby: true, epoch: null, broadcast: null, profile: null, health: null, bitrate_kbps: 4000 }),
      ],
    });
    const metrics = new OriginMetrics(() => status);
    const found = await scrape(metrics);
    const read = {
      'active_streams{profile="passthrough",health="good"}': 1,
      'active_streams{profile="passthrough",health="poor"}': 1,
      'active_streams{profile="ladder",health="good"}': 1,
      'active_streams{profile="ladder",health="unknown"}': 1,
      standby_streams: 1,
      ingest_bitrate_bits: 8_000_000,
      transcoder_speed: 0.8,
      'spool_bytes{where="memory"}': 1000,
      'spool_bytes{where="disk"}': 2000,
      ingest_connections: 12,
      ingest_processes: 1,
      draining: 1,
      alarms: 1,
      event_loop_utilization: 0.1,
      cpu_utilization: 0.2,
      memory_available_bytes: 4e9,
    };
    expect(Object.fromEntries(Object.keys(read).map((name) => [name, found.get(nova(name))]))).toEqual(read);
    status = originStatus();
    const later = await scrape(metrics);
    expect([...later.keys()].filter((name) => name.includes("active_streams"))).toEqual([]);
    expect(later.get(nova("transcoder_speed"))).toBeNaN();
    expect(later.get(nova("draining"))).toBe(0);
  });

  it("make no series of what strangers send", async () => {
    const metrics = new OriginMetrics(originStatus);
    metrics.publishRefused("already_live");
    for (let i = 0; i < 100; i++) metrics.publishRefused(`nova_${i}`);
    const found = await scrape(metrics);
    const series = [...found].filter(([name]) => name.includes("publishes_refused_total"));
    expect(Object.fromEntries(series)).toEqual({
      'nova_streaming_publishes_refused_total{code="already_live"}': 1,
      'nova_streaming_publishes_refused_total{code="other"}': 100,
    });
  });

  it("tell of the process, too, and of two origins in one process apart", async () => {
    const first = new OriginMetrics(originStatus);
    const second = new OriginMetrics(originStatus);
    first.gapDeclared();
    expect((await scrape(first)).get("process_resident_memory_bytes")).toBeGreaterThan(1e6);
    expect((await scrape(first)).has("nodejs_eventloop_lag_seconds")).toBe(true);
    expect((await scrape(second)).get(nova("gaps_total"))).toBe(0);
    expect(second.contentType).toContain("text/plain");
  });
});
