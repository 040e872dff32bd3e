import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";
import type { EndReason } from "../../domain/protocol/origin-link.ts";
import type { OriginStatus } from "../status.ts";
import { END_REASONS, EPOCH_REASONS, type EpochReason, isFault, PREFIX, refusalLabel } from "./labels.ts";
import { StatusGauges } from "./status-gauges.ts";

const LATENCY_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DURATION_BUCKETS = [10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 24 * HOUR, 72 * HOUR];

/** What is uploaded, as metrics tell it apart. */
export type UploadKind = "part" | "segment";

/** Counts what an origin does, and tells Prometheus. Labels take values of fixed sets only: never a stream, a key or an address. */
export class OriginMetrics {
  readonly #registry = new Registry();
  readonly #gauges: StatusGauges;
  readonly #all: Registry;
  readonly #accepted = this.#counter("publishes_accepted_total", "Publishes that were accepted.");
  readonly #refused = this.#counter("publishes_refused_total", "Publishes that were refused, by code.", ["code"]);
  readonly #ended = this.#counter("publishes_ended_total", "Publishes that have ended, by reason.", ["reason"]);
  readonly #errors = this.#counter("broadcast_errors_total", "Publishes that something cut short, by reason.", ["reason"]);
  readonly #epochs = this.#counter("epochs_total", "Epochs that were opened, by what led to them.", ["reason"]);
  readonly #uploadFailures = this.#counter("upload_failures_total", "Uploads that the edge did not take.");
  readonly #gaps = this.#counter("gaps_total", "Segments that were given up and declared as gaps.");
  readonly #transcoderRestarts = this.#counter("transcoder_restarts_total", "Transcoders that died or fell silent, and were replaced.");
  readonly #rungsDropped = this.#counter("rungs_dropped_total", "Rungs that were dropped because the machine did not keep up.");
  readonly #rungsRestored = this.#counter("rungs_restored_total", "Rungs that were taken back.");
  readonly #ingestRestarts = this.#counter("ingest_restarts_total", "Ingest processes that died or hung, and were replaced.");
  readonly #parts = this.#histogram("rtmp_ingestion_latency_seconds", "From a part's last frame to its acknowledgement.", LATENCY_BUCKETS);
  readonly #segments = this.#histogram(
    "hls_segment_generation_seconds",
    "From a segment's last frame to its acknowledgement.",
    LATENCY_BUCKETS,
  );
  readonly #durations = this.#histogram("stream_duration_seconds", "How long publishes lasted.", DURATION_BUCKETS);

  /** `status` is asked at each scrape. */
  constructor(status: () => OriginStatus) {
    collectDefaultMetrics({ register: this.#registry });
    this.#gauges = new StatusGauges(status);
    this.#all = Registry.merge([this.#registry, this.#gauges.registry]);
    // A series that appears with its first event hides that event from `rate`.
    for (const reason of END_REASONS) {
      this.#ended.inc({ reason }, 0);
      if (isFault(reason)) this.#errors.inc({ reason }, 0);
    }
    for (const reason of EPOCH_REASONS) this.#epochs.inc({ reason }, 0);
  }

  /** Of what `text` returns. */
  get contentType(): string {
    return this.#all.contentType;
  }

  /** Every metric, in Prometheus's text format. */
  text(): Promise<string> {
    this.#gauges.update();
    return this.#all.metrics();
  }

  publishAccepted(): void {
    this.#accepted.inc();
  }

  /** `code` is the edge's, or one of the origin's: `capacity`, `draining`, `unavailable`, `unsupported_input`, `bitrate`. */
  publishRefused(code: string): void {
    this.#refused.inc({ code: refusalLabel(code) });
  }

  /** An accepted publish is over, after so many seconds. */
  publishEnded(reason: EndReason, seconds: number): void {
    this.#ended.inc({ reason });
    if (isFault(reason)) this.#errors.inc({ reason });
    this.#durations.observe(seconds);
  }

  epochOpened(reason: EpochReason): void {
    this.#epochs.inc({ reason });
  }

  /** The edge has acknowledged it, so many seconds after its last frame was received. */
  uploaded(what: UploadKind, seconds: number): void {
    (what === "part" ? this.#parts : this.#segments).observe(Math.max(0, seconds));
  }

  uploadFailed(): void {
    this.#uploadFailures.inc();
  }

  gapDeclared(): void {
    this.#gaps.inc();
  }

  transcoderRestarted(): void {
    this.#transcoderRestarts.inc();
  }

  rungDropped(): void {
    this.#rungsDropped.inc();
  }

  rungRestored(): void {
    this.#rungsRestored.inc();
  }

  ingestRestarted(): void {
    this.#ingestRestarts.inc();
  }

  #counter<Label extends string = never>(name: string, help: string, labelNames: Label[] = []): Counter<Label> {
    return new Counter({ name: PREFIX + name, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name: PREFIX + name, help, buckets, registers: [this.#registry] });
  }
}
