import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { freemem, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decideAdmission } from "../../origin/admission/admission.ts";
import { Headroom } from "../../origin/admission/headroom.ts";

const MB = 2 ** 20;
const idle = { streams: 0, eventLoop: 0.1, cpu: 0.2, memoryAvailableBytes: 4096 * MB, memoryTotalBytes: 8192 * MB };
const limits = { maxStreams: 100 };

describe("one more publish", () => {
  it("is taken while there is room", () => {
    expect(decideAdmission(idle, { profile: null }, limits)).toBeNull();
    expect(decideAdmission({ ...idle, streams: 99 }, { profile: "ladder" }, limits)).toBeNull();
  });

  it("is refused beyond the bound, which the words name", () => {
    expect(decideAdmission({ ...idle, streams: 100 }, { profile: null }, limits)).toContain("100 streams");
  });

  it("is refused where the main process is busy", () => {
    expect(decideAdmission({ ...idle, eventLoop: 0.95 }, { profile: "passthrough" }, limits)).toBeNull();
    expect(decideAdmission({ ...idle, eventLoop: 0.96 }, { profile: "passthrough" }, limits)).toContain("too busy");
  });

  it("is refused with less than 5 % of the memory left, or less than 150 MB", () => {
    const of = (available: number, total: number) =>
      decideAdmission({ ...idle, memoryAvailableBytes: available * MB, memoryTotalBytes: total * MB }, { profile: null }, limits);
    expect(of(410, 8192)).toBeNull();
    expect(of(409, 8192)).toContain("memory");
    expect(of(150, 512)).toBeNull();
    expect(of(149, 512)).toContain("memory");
  });

  it("is refused for busy processors only where it has to be encoded", () => {
    const busy = { ...idle, cpu: 0.91 };
    expect(decideAdmission(busy, { profile: "ladder" }, limits)).toContain("encode");
    expect(decideAdmission(busy, { profile: "ladder_source" }, limits)).toContain("encode");
    for (const profile of ["passthrough", "passthrough_any", null] as const) {
      expect(decideAdmission({ ...idle, cpu: 1 }, { profile }, limits)).toBeNull();
    }
  });
});

describe("headroom", () => {
  let directory: string;
  const write = (path: string, text: string) => writeFileSync(join(directory, path), text);

  /** A machine of 8 GB whose processors have so far worked `busy` of `total` seconds. */
  function machine(busy: number, total: number): void {
    write("proc/stat", `cpu  ${busy} 0 0 ${total - busy} 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0 0 0\n`);
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "nova-headroom-"));
    for (const path of ["proc/self", "cgroup"]) mkdirSync(join(directory, path), { recursive: true });
    write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:          100 kB\nMemAvailable:    4194304 kB\n");
    write("proc/self/cgroup", "0::/\n");
    machine(0, 0);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const open = () => new Headroom({ proc: join(directory, "proc"), cgroup: join(directory, "cgroup") });

  it("is the machine's where no container limits it", () => {
    expect(open().load()).toMatchObject({ memoryAvailableBytes: 4096 * MB, memoryTotalBytes: 8192 * MB });
  });

  it("is the container's where that has less, without the file pages that can be dropped", () => {
    write("cgroup/memory.max", `${1000 * MB}\n`);
    write("cgroup/memory.current", `${900 * MB}\n`);
    write("cgroup/memory.stat", `anon ${200 * MB}\ninactive_file ${600 * MB}\n`);
    expect(open().load()).toMatchObject({ memoryAvailableBytes: 700 * MB, memoryTotalBytes: 1000 * MB });
    write("cgroup/memory.max", "max\n");
    expect(open().load()).toMatchObject({ memoryAvailableBytes: 4096 * MB, memoryTotalBytes: 8192 * MB });
  });

  it("is that of the group of a service of the system", () => {
    mkdirSync(join(directory, "cgroup/system.slice/origin.service"), { recursive: true });
    write("proc/self/cgroup", "0::/system.slice/origin.service\n");
    write("cgroup/system.slice/origin.service/memory.max", `${500 * MB}\n`);
    write("cgroup/system.slice/origin.service/memory.current", `${100 * MB}\n`);
    expect(open().load()).toMatchObject({ memoryAvailableBytes: 400 * MB, memoryTotalBytes: 500 * MB });
  });

  it("counts what is not measured yet as idle, so that a start refuses nobody", async () => {
    const headroom = open();
    headroom.start();
    machine(100, 100);
    await sleep(100);
    const { cpu } = headroom.load();
    headroom.stop();
    expect(cpu).toBeGreaterThan(0);
    expect(cpu).toBeLessThan(0.5);
  });

  it("sees what a quota of processors has left", async () => {
    const quota = (used: number) => write("cgroup/cpu.stat", `usage_usec ${used * 1e6}\nuser_usec 0\n`);
    write("cgroup/cpu.max", "50000 100000\n");
    quota(0);
    const headroom = open();
    headroom.start();
    // The machine idles; ten seconds' worth of the quota, and more, are used.
    machine(0, 100);
    quota(1000);
    await sleep(50);
    const { cpu } = headroom.load();
    headroom.stop();
    expect(cpu).toBe(1);
  });

  it("is measured on this machine", async () => {
    const headroom = new Headroom();
    headroom.start();
    const busyUntil = performance.now() + 300;
    while (performance.now() < busyUntil);
    await sleep(20);
    const load = headroom.load();
    headroom.stop();
    expect(load.memoryTotalBytes).toBeLessThanOrEqual(totalmem());
    expect(load.memoryAvailableBytes).toBeGreaterThan(0);
    expect(load.memoryAvailableBytes).toBeLessThanOrEqual(Math.max(load.memoryTotalBytes, freemem()));
    // 300 ms of 10 s.
    expect(load.eventLoop).toBeGreaterThan(0.01);
    expect(load.eventLoop).toBeLessThan(1);
    expect(load.cpu).toBeGreaterThan(0);
  });
});
