import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { eventually, isAlive } from "../fakes/rtmp/ingest-fixture.ts";

const script = fileURLToPath(new URL("../fakes/rtmp/ingest-host.ts", import.meta.url));
const runDirectory = mkdtempSync(join(tmpdir(), "ingest-host-"));
let host: ChildProcess;
let output = "";
let port = 0;
let ingestPid = 0;

beforeAll(async () => {
  host = spawn(process.execPath, [script, runDirectory], { stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [host.stdout, host.stderr]) {
    stream?.on("data", (bytes: Buffer) => {
      output += bytes.toString();
    });
  }
  const ready = await eventually(() => output.split("\n").find((line) => line.includes("host ready")), 10_000);
  ({ port, ingest_pid: ingestPid } = JSON.parse(ready));
}, 15_000);

afterAll(() => {
  host.kill("SIGKILL");
  rmSync(runDirectory, { recursive: true, force: true });
});

it("prints no stream key, whatever becomes of the publish", async () => {
  const accepted = await RtmpClient.connected(port);
  await accepted.publish("accepted-SECRET?token=SECRET");
  accepted.unpublish("accepted-SECRET");
  const refused = await RtmpClient.connected(port);
  await refused.publish("refused-SECRET");
  const invalid = await RtmpClient.connected(port);
  await invalid.publish("in/valid-SECRET");
  const twice = await RtmpClient.connected(port);
  await twice.publish("twice-SECRET");
  twice.command("publish", 4, [null, "again-SECRET", "live"], 1);
  const badUrl = await RtmpClient.shaken(port);
  badUrl.command("connect", 1, [{ app: "live", tcUrl: "no url SECRET" }]);
  const unknown = await RtmpClient.connected(port);
  unknown.command("SECRET", 9, ["SECRET"]);
  unknown.command("play", 9, [null, "SECRET"]);
  for (const client of [accepted, refused, invalid, twice, badUrl, unknown]) await client.closed;
  await eventually(() => output.includes('"unpublished"') && output.includes("second publish"));
  expect(output).not.toContain("SECRET");
  // What the ingest process prints is of the same format.
  for (const line of output.trim().split("\n"))
    expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), time: expect.any(String) });
  expect(accepted.statuses.map(({ description }) => description).join()).not.toContain("SECRET");
});

it("keeps the link in a directory of its own that only its user may enter", () => {
  expect(readdirSync(runDirectory)).toEqual([expect.stringMatching(/^ingest-/)]);
});

it("does not outlive an origin that is killed", async () => {
  const client = await RtmpClient.connected(port);
  await client.publish("orphan");
  expect(isAlive(ingestPid)).toBe(true);
  host.kill("SIGKILL");
  await once(host, "exit");
  await eventually(() => !isAlive(ingestPid), 2_000);
  await client.closed;
});
