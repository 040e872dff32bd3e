import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, expect, it } from "vitest";
import { createLog } from "../../origin/log.ts";
import type { Shelf } from "../../origin/upload/shelf.ts";
import { Spool } from "../../origin/upload/spool.ts";
import type { Uploader } from "../../origin/upload/uploader.ts";
import { announce, numbers, pushSegment, startUploadRig, type UploadRig } from "./upload-rig.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const until = { timeout: 10_000, interval: 20 };
const MB = 1 << 20;

async function start(bounds: Parameters<typeof startUploadRig>[0]): Promise<UploadRig> {
  const rig = await startUploadRig(bounds);
  cleanups.push(() => rig.stop());
  return rig;
}

function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "nova-spool-"));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Pushes segments of a video, no faster than a disk takes them. */
async function pushVideo(uploader: Uploader, from: number, to: number): Promise<void> {
  for (let msn = from; msn <= to; msn++) {
    pushSegment(uploader, "source", msn, 300_000);
    await sleep(20);
  }
}

/** An uploader that has sent segment 1, before an edge that is away. */
async function cutOff(rig: UploadRig, renditions: string[]) {
  const gaps: string[] = [];
  const uploader = rig.uploader({ onGap: (rendition, msn) => gaps.push(`${rendition} ${msn}`) });
  announce(uploader);
  for (const rendition of renditions) pushSegment(uploader, rendition, 1, 1000);
  await expect
    .poll(() => renditions.map((rendition) => rig.server.media(rendition, "segments").length), until)
    .toEqual(renditions.map(() => 1));
  await rig.server.stop();
  return { uploader, gaps };
}

it("keeps files for the owner's eyes only, and removes what a killed origin left and nothing else", async () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, "media"), { mode: 0o755 });
  writeFileSync(join(directory, "media", "spooled-7.m4s"), "left over");
  writeFileSync(join(directory, "media", "notes"), "not ours");
  const rig = await start({ directory, memoryBytes: MB, diskBytes: 64 * MB });
  expect(readdirSync(join(directory, "media"))).toEqual(["notes"]);
  expect(statSync(join(directory, "media")).mode & 0o777).toBe(0o700);
  const { uploader } = await cutOff(rig, ["source"]);
  await pushVideo(uploader, 2, 8);
  await expect.poll(() => uploader.status().spooledBytes, until).toBeGreaterThan(1_000_000);
  const files = readdirSync(join(directory, "media")).filter((name) => name !== "notes");
  expect(files.length).toBeGreaterThan(3);
  for (const name of files) expect(statSync(join(directory, "media", name)).mode & 0o777).toBe(0o600);
  await rig.server.start();
  await uploader.drain(5000);
  expect(rig.server.media("source", "segments")).toEqual(numbers(1, 8));
  await expect.poll(() => readdirSync(join(directory, "media")), until).toEqual(["notes"]);
});

it("[PL12] beyond memory and disk, the stream that uses most loses its oldest segments, in order and said once; the others lose nothing", async () => {
  const rig = await start({ memoryBytes: 2 * MB, diskBytes: 2 * MB });
  const large = await cutOff(rig, ["source"]);
  const smallGaps: string[] = [];
  const small = rig.uploader({ lease: { stream: "small", epoch: 1, lease: "1.x" }, onGap: (_, msn) => smallGaps.push(String(msn)) });
  announce(small);
  for (let msn = 2; msn <= 21; msn++) {
    pushSegment(large.uploader, "source", msn, 300_000);
    pushSegment(small, "audio", msn, 16_000);
    // A disk that is slower than the stream would be another case.
    const written = () => large.uploader.status().spooledBytes + small.status().spooledBytes;
    await expect.poll(() => rig.spool.diskUsed - written(), { ...until, interval: 2 }).toBe(0);
    expect(rig.spool.memoryUsed).toBeLessThanOrEqual(2 * MB);
    expect(rig.spool.diskUsed).toBeLessThanOrEqual(2 * MB);
  }
  expect(large.gaps.length).toBeGreaterThan(5);
  const lost = large.gaps.length;
  expect(large.gaps).toEqual(numbers(2, 1 + lost).map((msn) => `source ${msn}`));
  // Both are full: what is lost is no more than what there is no room for.
  expect(lost).toBeLessThan(13);
  expect(smallGaps).toEqual([]);
  expect(large.uploader.status().gaps).toBe(lost);
  await rig.server.start();
  await Promise.all([large.uploader.drain(5000), small.drain(5000)]);
  expect(rig.server.media("source", "segments")).toEqual([
    "1",
    ...numbers(2, 1 + lost).map((msn) => `${msn} gap`),
    ...numbers(2 + lost, 21),
  ]);
  expect(rig.server.media("audio", "segments")).toEqual(numbers(2, 21));
  const told = rig.lines.filter(({ message }) => message.includes("oldest segments become gaps"));
  expect(told).toHaveLength(1);
  expect(rig.lines.find(({ message }) => message.includes("given up"))?.fields).toEqual({ segments: lost });
  expect([rig.spool.memoryUsed, rig.spool.diskUsed]).toEqual([0, 0]);
});

it("a spool that cannot be written is an alarm, told once: media waits in memory, and on disk again once it works", async () => {
  const parent = temporaryDirectory();
  const directory = join(parent, "spool");
  writeFileSync(directory, "a file stands in its place");
  const rig = await start({ directory, memoryBytes: 4 * MB, diskBytes: 64 * MB });
  expect(rig.spool.alarm).toContain("cannot be written");
  const { uploader, gaps } = await cutOff(rig, ["source"]);
  await pushVideo(uploader, 2, 10);
  expect(uploader.status().spooledBytes).toBe(0);
  expect(rig.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  rmSync(directory);
  await expect.poll(() => rig.spool.alarm, until).toBeNull();
  pushSegment(uploader, "source", 11, 300_000);
  await expect.poll(() => uploader.status().spooledBytes, until).toBeGreaterThan(0);
  await rig.server.start();
  await uploader.drain(5000);
  expect(rig.server.media("source", "segments")).toEqual(numbers(1, 11));
  expect(gaps).toEqual([]);
});

/** Whether this machine lets the test have a small disk of its own. */
function mountSmallDisk(path: string): boolean {
  try {
    execFileSync("/bin/mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path], { stdio: "ignore" });
    cleanups.push(() => execFileSync("/bin/umount", ["-l", path]));
    return true;
  } catch {
    return false;
  }
}

it("a full disk is an alarm, told once: what it holds is sent, and the rest waits in memory", async ({ skip }) => {
  const directory = temporaryDirectory();
  if (!mountSmallDisk(directory)) skip("needs the right to mount");
  const rig = await start({ directory, memoryBytes: 8 * MB, diskBytes: 64 * MB });
  const { uploader, gaps } = await cutOff(rig, ["source"]);
  await pushVideo(uploader, 2, 20);
  await expect.poll(() => rig.spool.alarm, until).toContain("disk is full");
  expect(uploader.status().spooledBytes).toBe(900_000);
  expect(rig.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  await rig.server.start();
  await uploader.drain(5000);
  expect(rig.server.media("source", "segments")).toEqual(numbers(1, 20));
  expect(gaps).toEqual([]);
  expect([rig.spool.memoryUsed, rig.spool.diskUsed]).toEqual([0, 0]);
  await expect.poll(() => rig.spool.alarm, until).toBeNull();
});

it("[PL12] a segment that the disk has lost becomes a gap, and those after it go on", async () => {
  const rig = await start({ memoryBytes: MB, diskBytes: 64 * MB });
  const { uploader, gaps } = await cutOff(rig, ["source"]);
  await pushVideo(uploader, 2, 6);
  await expect.poll(() => uploader.status().spooledBytes, until).toBeGreaterThan(300_000);
  const [first] = readdirSync(join(rig.directory, "media")).sort();
  truncateSync(join(rig.directory, "media", first ?? ""), 100);
  await rig.server.start();
  await uploader.drain(5000);
  expect(rig.server.media("source", "segments")).toEqual(["1", "2 gap", ...numbers(3, 6)]);
  expect(gaps).toEqual(["source 2"]);
});

it("whatever comes, is sent, fails and is given up in whatever order: bytes come out as they went in, the bounds hold, and nothing stays behind", async () => {
  const log = createLog("silent");
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ size: fc.integer({ min: 1, max: 60_000 }), segment: fc.boolean(), fails: fc.nat(2), waitMs: fc.nat(3) }), {
        minLength: 20,
        maxLength: 60,
      }),
      fc.boolean(),
      async (items, withDisk) => {
        const directory = temporaryDirectory();
        const bounds = { memoryBytes: 400_000, diskBytes: withDisk ? 500_000 : 0 };
        const spool = await Spool.open({ directory, log, ...bounds });
        const shelves = [spool.shelf(() => undefined), spool.shelf(() => undefined)];
        const signal = new AbortController().signal;
        let lost = 0;
        const uses: Promise<void>[] = [];
        for (const [number, { size, segment, fails, waitMs }] of items.entries()) {
          const bytes = Buffer.alloc(size, number + 1);
          const shelf = shelves[number % 2] as Shelf;
          const kept = segment ? shelf.keepSegment(bytes, () => (lost += 1)) : shelf.keepPart(bytes.subarray(0, 1000));
          const use = async () => {
            for (let attempt = 0; attempt <= fails; attempt++) {
              await sleep(waitMs);
              const seen = await kept.use(signal, async (lent) => Buffer.from(lent)).catch((error: unknown) => error);
              if (seen instanceof Buffer) expect(seen.equals(segment ? bytes : bytes.subarray(0, 1000))).toBe(true);
              else expect(seen).toMatchObject({ reason: "given_up" });
            }
            kept.release();
          };
          uses.push(use());
          expect(spool.memoryUsed).toBeLessThanOrEqual(bounds.memoryBytes);
          expect(spool.diskUsed).toBeLessThanOrEqual(bounds.diskBytes);
          if (number % 10 === 9) await sleep(2);
        }
        await Promise.all(uses);
        await spool.close();
        expect(lost).toBeLessThanOrEqual(items.filter(({ segment }) => segment).length);
        expect([spool.memoryUsed, spool.diskUsed, ...shelves.map(({ bytes }) => bytes)]).toEqual([0, 0, 0, 0]);
        if (withDisk) expect(readdirSync(join(directory, "media"))).toEqual([]);
      },
    ),
    { numRuns: 40 },
  );
});
