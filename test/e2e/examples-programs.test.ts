import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Platform, startPlatform } from "../fakes/platform.ts";

const EXAMPLES = join(import.meta.dirname, "..", "..", "docs", "examples");
const API_KEY = "platform-admin-key";
const SMALL = ["--size", "320x180", "--bitrate", "400"];

let platform: Platform;

/** A program that runs. */
class Program {
  readonly #child: ChildProcess;
  /** All that it has said so far. */
  said = "";
  /** Its exit code; null where a signal ended it. */
  readonly exited: Promise<number | null>;

  constructor(command: string, args: string[], env: Record<string, string>) {
    this.#child = spawn(command, args, {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.on("data", (bytes: Buffer) => (this.said += bytes.toString()));
    this.exited = new Promise((resolve) => this.#child.once("close", (code) => resolve(code)));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }
}

function broadcaster(args: string[], site = platform.site, key = API_KEY): Program {
  const all = [
    join(EXAMPLES, "broadcaster.py"),
    "--site",
    site,
    "--rtmp-url",
    `rtmp://127.0.0.1:${platform.rtmpPort}/live`,
    ...SMALL,
    ...args,
  ];
  return new Program("python3", all, { NOVA_API_KEY: key });
}

function curlTests(key: string): Program {
  return new Program("bash", [join(EXAMPLES, "curl-tests.sh")], { SITE: platform.site, API_KEY: key });
}

function streamIn({ said }: Program): string {
  return /stream ([0-9a-z]{24}):/.exec(said)?.[1] ?? "";
}

beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform.stop());

describe("broadcaster.py", () => {
  it("broadcasts, follows the stream to its end, and says how it went", async () => {
    const program = broadcaster(["--seconds", "8", "--title", "From Python", "--tag", "example"]);
    expect(await program.exited, program.said).toBe(0);
    expect(program.said).toMatch(/watch {2}http:\/\/127\.0\.0\.1:\d+\/watch\/[0-9a-z]{24}\n/);
    expect(program.said.match(/ active {8}viewers 0/g)?.length).toBeGreaterThan(3);
    expect(program.said).toMatch(/ completed {5}viewers 0 \(peak 0\)\n.*health {2}\d+ of 100, (good|fair|poor)\n/);
    const stream = await platform.getStream(streamIn(program));
    expect(stream).toMatchObject({ title: "From Python", tags: ["example"], status: "completed", broadcast: 1, end_reason: "unpublished" });
    expect(program.said).not.toContain(API_KEY);
  });

  it("ends cleanly on Ctrl-C, and deletes the stream where it is asked to", async () => {
    const program = broadcaster(["--delete"]);
    await expect.poll(() => program.said, { timeout: 20_000, interval: 50 }).toMatch(/active .*\n.*active/);
    program.signal("SIGINT");
    expect(await program.exited, program.said).toBe(0);
    expect(program.said).toMatch(/completed [\s\S]*deleted\n$/);
    const stream = await platform.getStream(streamIn(program));
    expect(stream.deleted_at).not.toBeNull();
    expect(stream.end_reason).toBe("unpublished");
  });

  it("uses the first run's stream again with the same idempotency key", async () => {
    const args = ["--seconds", "2", "--idempotency-key", "the-same-run"];
    const first = broadcaster(args);
    expect(await first.exited, first.said).toBe(0);
    const second = broadcaster(args);
    expect(await second.exited, second.said).toBe(0);
    expect(streamIn(second)).toBe(streamIn(first));
    expect(await platform.getStream(streamIn(first))).toMatchObject({ status: "completed", broadcast: 2 });
  });

  it("says which trouble it is by its exit code, without the keys", async () => {
    const refused = broadcaster([], platform.site, "not-the-key");
    expect(await refused.exited).toBe(1);
    expect(refused.said).toMatch(/the API refused: this API key is not valid \(401 unauthorized, request /);
    expect(refused.said).not.toContain("not-the-key");
    const wrong = broadcaster(["--input", "/nothing/there.mp4"]);
    expect(await wrong.exited).toBe(2);
    const keyless = broadcaster([], platform.site, "");
    expect(await keyless.exited).toBe(2);
    expect(keyless.said).toMatch(/NOVA_API_KEY is not set/);
    const broken = broadcaster(["--rtmp-url", "rtmp://127.0.0.1:9/live", "--delete"]);
    expect(await broken.exited).toBe(3);
    expect(broken.said).toMatch(/ffmpeg broke off .*rtmp:\/\/127\.0\.0\.1:9\/live\/STREAM_KEY/);
    expect(broken.said).not.toMatch(/nova_/);
  });
});

describe("broadcaster.py, before an API that is busy", () => {
  let busy: Server;
  const calls: { at: number; headers: IncomingHttpHeaders }[] = [];

  beforeAll(async () => {
    const statuses = [429, 503, 403];
    busy = createServer((request, answer) => {
      calls.push({ at: performance.now(), headers: request.headers });
      const status = statuses[calls.length - 1] ?? 500;
      answer.writeHead(status, { "Content-Type": "application/json", "Retry-After": String(calls.length) });
      answer.end(JSON.stringify({ error: "forbidden", message: "no more", request_id: "r1" }));
    });
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => void busy.close());

  it("waits as long as it is told, and asks for the same thing", async () => {
    const program = broadcaster([], `http://127.0.0.1:${(busy.address() as AddressInfo).port}`);
    expect(await program.exited).toBe(1);
    expect(program.said).toMatch(/the API refused: no more \(403 forbidden, request r1\)/);
    const [first = NaN, second = NaN, third = NaN] = calls.map(({ at }) => at);
    expect(second - first).toBeGreaterThan(950);
    expect(third - second).toBeGreaterThan(1_950);
    const keys = calls.map(({ headers }) => headers["idempotency-key"]);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(new Set(keys).size).toBe(1);
  });
});

describe("curl-tests.sh", () => {
  it("passes, and shows no key whole", async () => {
    const program = curlTests(API_KEY);
    expect(await program.exited, program.said.split("\n").slice(-40).join("\n")).toBe(0);
    expect(program.said).toMatch(/\n(1\d\d) passed, 0 failed\n$/);
    expect(program.said).not.toContain(API_KEY);
    expect(program.said).not.toMatch(/(nova_|whsec_)[\w-]{16}/);
  });

  it("fails where the key is not the right one", async () => {
    const program = curlTests("not-the-key");
    expect(await program.exited).toBe(1);
    expect(program.said).toMatch(/check API_KEY\n\d+ passed, [1-9]\d* failed\n$/);
  });
});
