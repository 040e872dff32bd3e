import { Gauge, Registry } from "prom-client";
import type { OriginStatus } from "../status.ts";
import { PREFIX } from "./labels.ts";

/** What an origin's status says, as gauges that are set when they are read. */
export class StatusGauges {
  readonly registry = new Registry();
  readonly #status: () => OriginStatus;
  readonly #active = this.#gauge("active_streams", "Live publishes, by profile and health.", ["profile", "health"]);
  readonly #standby = this.#gauge("standby_streams", "Backup encoders that stand by.");
  readonly #bitrate = this.#gauge("ingest_bitrate_bits", "What all encoders send, bits per second.");
  readonly #speed = this.#gauge("transcoder_speed", "Media time over wall time of the slowest transcoder; NaN while none runs.");
  readonly #spool = this.#gauge("spool_bytes", "Media that waits for the edge, by where it waits.", ["where"]);
  readonly #connections = this.#gauge("ingest_connections", "Connections of encoders, those that do not publish among them.");
  readonly #processes = this.#gauge("ingest_processes", "Ingest processes that live.");
  readonly #draining = this.#gauge("draining", "1 while new publishes are refused.");
  readonly #alarms = this.#gauge("alarms", "What an operator should look at now; GET /status has the words.");
  readonly #edge = this.#gauge("edge_unavailable", "1 while the edge does not answer.");
  readonly #eventLoop = this.#gauge("event_loop_utilization", "Share of the last 10 s that the main process was busy.");
  readonly #cpu = this.#gauge("cpu_utilization", "Share of the machine's or the quota's processors used in the last 10 s.");
  readonly #memory = this.#gauge("memory_available_bytes", "Memory left on the machine or in the container.");

  constructor(status: () => OriginStatus) {
    this.#status = status;
  }

  /** Takes the status of now. */
  update(): void {
    const status = this.#status();
    const live = status.streams.filter(({ standby }) => !standby);
    this.#active.reset();
    for (const { profile, health } of live) this.#active.inc({ profile: profile ?? "unknown", health: health ?? "unknown" });
    this.#standby.set(status.streams.length - live.length);
    this.#bitrate.set(live.reduce((sum, stream) => sum + stream.bitrate_kbps * 1000, 0));
    const speeds = live.filter(({ transcoder_pid }) => transcoder_pid !== null).map(({ speed }) => speed);
    this.#speed.set(speeds.length === 0 ? Number.NaN : Math.min(...speeds));
    this.#spool.set({ where: "memory" }, status.spool.memoryBytes);
    this.#spool.set({ where: "disk" }, status.spool.diskBytes);
    this.#connections.set(status.ingest.connections);
    this.#processes.set(status.ingest.pids.length);
    this.#draining.set(status.draining ? 1 : 0);
    this.#edge.set(status.edgeAwaySeconds === null ? 0 : 1);
    this.#alarms.set(status.alarms.length);
    this.#eventLoop.set(status.headroom.eventLoop);
    this.#cpu.set(status.headroom.cpu);
    this.#memory.set(status.headroom.memoryAvailableBytes);
  }

  #gauge<Label extends string = never>(name: string, help: string, labelNames: Label[] = []): Gauge<Label> {
    return new Gauge({ name: PREFIX + name, help, labelNames, registers: [this.registry] });
  }
}
