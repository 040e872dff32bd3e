import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../../origin/log.ts";
import { EdgeClient } from "../../origin/upload/edge-client.ts";
import { Spool } from "../../origin/upload/spool.ts";
import { Uploader, type UploaderOptions } from "../../origin/upload/uploader.ts";
import { EdgeServer } from "../fakes/edge-server.ts";

const LEASE = { stream: "stream", epoch: 1, lease: "1.secret-lease" };
const TOKEN = "secret-token";

/** An edge that can go away, and what uploads to it. */
export interface UploadRig {
  server: EdgeServer;
  edge: EdgeClient;
  spool: Spool;
  /** The spool's directory. */
  directory: string;
  /** Lines of the log. */
  lines: { level: string; message: string; fields: Record<string, unknown> }[];
  uploader(options?: Partial<UploaderOptions>): Uploader;
  stop(): Promise<void>;
}

/** Starts a rig; `memoryBytes` and `diskBytes` bound its spool. */
export async function startUploadRig(bounds: { memoryBytes?: number; diskBytes?: number; directory?: string } = {}): Promise<UploadRig> {
  const directory = bounds.directory ?? mkdtempSync(join(tmpdir(), "nova-spool-"));
  const lines: UploadRig["lines"] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields: { ...fields } });
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error"), child: () => log };
  const server = new EdgeServer();
  await server.start();
  const edge = new EdgeClient(server.url, TOKEN, log);
  const spool = await Spool.open({ directory, memoryBytes: 64 << 20, diskBytes: 64 << 20, log, ...bounds });
  return {
    ...{ server, edge, spool, directory, lines },
    uploader: (options = {}) => new Uploader({ edge, lease: LEASE, log, spool, onRefused: () => undefined, ...options }),
    async stop() {
      await edge.close();
      await server.stop().catch(() => undefined);
      await spool.close();
      if (bounds.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Announces one video and one audio rendition. */
export function announce(uploader: Uploader): void {
  const part_target = 0.5;
  uploader.tracks({
    ...{ started_at: 1_700_000_000_000, target_duration: 2 },
    renditions: [
      { kind: "video", name: "source", codec: "avc1.64001f", part_target, bandwidth: 0, width: 320, height: 180, frame_rate: 30 },
      { kind: "audio", name: "audio", codec: "mp4a.40.2", part_target, bandwidth: 0, channels: 2, sample_rate: 48_000 },
    ],
  });
}

/** Hands over a segment of two seconds in four parts. Returns the digest of the whole. */
export function pushSegment(uploader: Uploader, rendition: string, msn: number, size: number): string {
  const bytes = randomBytes(size);
  for (let part = 0; part < 4; part++) {
    const piece = Buffer.from(bytes.subarray((part * size) / 4, ((part + 1) * size) / 4));
    uploader.part({ rendition, msn, part, duration: 0.5, independent: part === 0, bytes: piece });
  }
  uploader.segment({ rendition, msn, duration: 2, pdt: 1_700_000_000_000 + msn * 2000, bytes });
  return createHash("sha256").update(bytes).digest("hex");
}

/** `["3", "4", …]`. */
export function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
}
