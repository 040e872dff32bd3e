import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { prepareRunDirectory } from "../../origin/run-directory.ts";
import { OutputSocket } from "../../origin/transcode/output-socket.ts";

let parent: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "nova-run-"));
});

afterEach(() => {
  rmSync(parent, { recursive: true });
});

it("a run directory is private, and free of what a killed origin left in it", () => {
  const path = join(parent, "deep", "run");
  prepareRunDirectory(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  for (const name of ["ff-a1B2c3", "ingest-Zz9y8X", "ff-notes", "kept"]) {
    mkdirSync(join(path, name));
    writeFileSync(join(path, name, "s"), "");
  }
  prepareRunDirectory(path);
  expect(readdirSync(path).sort()).toEqual(["ff-notes", "kept"]);
});

/** An FFmpeg that writes to a socket in that directory, and has begun to. */
async function startFfmpeg(directory: string): Promise<{ ffmpeg: ChildProcess; socket: OutputSocket }> {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, "480p");
  let begun: () => void = () => {};
  const output = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const socket = await OutputSocket.listen(path, () => begun());
  const ffmpeg = spawn("ffmpeg", ["-v", "quiet", "-re", "-f", "lavfi", "-i", "testsrc2=s=64x36", "-f", "mpegts", `unix:${path}`], {
    stdio: "ignore",
  });
  await output;
  return { ffmpeg, socket };
}

it.runIf(process.platform === "linux")(
  "a run directory's FFmpegs that outlived their origin are killed, stopped ones too, and no others",
  async () => {
    const path = join(parent, "run");
    const running = await startFfmpeg(join(path, "ff-a1B2c3"));
    const stopped = await startFfmpeg(join(path, "ff-d4E5f6"));
    const foreign = await startFfmpeg(join(parent, "other", "ff-a1B2c3"));
    try {
      stopped.ffmpeg.kill("SIGSTOP");
      const ends = [running, stopped].map(({ ffmpeg }) => once(ffmpeg, "exit"));
      prepareRunDirectory(path);
      expect((await Promise.all(ends)).map(([, signal]) => signal)).toEqual(["SIGKILL", "SIGKILL"]);
      expect(foreign.ffmpeg.exitCode ?? foreign.ffmpeg.signalCode).toBeNull();
      expect(readdirSync(path)).toEqual([]);
    } finally {
      for (const { ffmpeg, socket } of [running, stopped, foreign]) {
        ffmpeg.kill("SIGKILL");
        socket.close();
      }
    }
  },
);
