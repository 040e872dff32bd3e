import { type ChildProcess, spawn } from "node:child_process";
import type { Cleanup } from "./figure.ts";

/** Bits of the clock in the picture: Unix milliseconds modulo 2³², then a checksum. */
const CLOCK_BITS = 32;
const CHECK_BITS = 8;
const COLUMNS = 20;
const BLOCK = 16;
const WIDTH = 640;
const HEIGHT = 360;
/** By then an encoder is connected and reads. */
const STARTING_MS = 3_000;

/** How a page reads the clock back from the picture; `decodeClock` in the page, as text. */
export const CLOCK_LAYOUT = { clockBits: CLOCK_BITS, checkBits: CHECK_BITS, columns: COLUMNS, block: BLOCK, width: WIDTH, height: HEIGHT };

/** A live encoder whose every frame carries the time at which it was drawn, as black and white blocks. */
export function startClockSource(rtmpUrl: string, fps: number, cleanup: Cleanup): ChildProcess {
  const encoder = spawn(
    "ffmpeg",
    [
      ...[
        "-hide_banner",
        "-loglevel",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        `${WIDTH}x${HEIGHT}`,
        "-r",
        String(fps),
        "-i",
        "pipe:0",
      ],
      ...["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"],
      ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-b:v", "1500k"],
      ...["-g", String(fps * 2), "-sc_threshold", "0", "-c:a", "aac", "-b:a", "96k", "-f", "flv", rtmpUrl],
    ],
    { stdio: ["pipe", "ignore", "inherit"] },
  );
  encoder.stdin.on("error", () => undefined);
  const begun = performance.now();
  let started = begun;
  let frames = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    // Until the encoder is connected it reads nothing. Frames drawn meanwhile would all be late by that time, for it keeps them in step with
    // the sound, which begins only then.
    if (now - begun < STARTING_MS && encoder.stdin.writableLength > 0) started = now - (frames / fps) * 1000;
    // Frames that are due, one after the other: a late timer catches up.
    while (frames < ((now - started) / 1000) * fps) {
      frames += 1;
      encoder.stdin.write(drawClock(Date.now(), frames));
    }
  }, 4);
  cleanup.add(() => {
    clearInterval(timer);
    encoder.kill("SIGKILL");
  });
  return encoder;
}

function drawClock(now: number, frame: number): Buffer {
  const picture = Buffer.alloc(WIDTH * HEIGHT, 90);
  const clock = now % 2 ** CLOCK_BITS;
  const bits = [...toBits(clock, CLOCK_BITS), ...toBits(checksum(clock), CHECK_BITS)];
  for (const [index, bit] of bits.entries()) {
    const left = (index % COLUMNS) * BLOCK;
    const top = Math.floor(index / COLUMNS) * BLOCK;
    for (let y = top; y < top + BLOCK; y++) picture.fill(bit ? 235 : 16, y * WIDTH + left, y * WIDTH + left + BLOCK);
  }
  // Something moves, so that the encoder has work.
  const x = (frame * 7) % (WIDTH - 40);
  for (let y = 200; y < 240; y++) picture.fill(235, y * WIDTH + x, y * WIDTH + x + 40);
  return picture;
}

function toBits(value: number, count: number): boolean[] {
  return Array.from({ length: count }, (_, index) => Math.floor(value / 2 ** (count - 1 - index)) % 2 === 1);
}

function checksum(clock: number): number {
  return (clock ^ (clock >>> 8) ^ (clock >>> 16) ^ (clock >>> 24)) & 255;
}
