import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectSecurely } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { syntheticSource } from "../fakes/rtmp/flv-tags.ts";
import { eventually, type RunningIngest, startIngest } from "../fakes/rtmp/ingest-fixture.ts";

const directory = mkdtempSync(join(tmpdir(), "ingest-rtmps-"));
// As Kubernetes mounts a secret: the files are links into a directory that is itself a link, which is swapped.
const certificateFile = join(directory, "tls.crt");
const keyFile = join(directory, "tls.key");

/** A fresh pair for that name, self-signed, in a directory of its own. */
function createPair(name: string): string {
  const pair = join(directory, name);
  mkdirSync(pair);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", join(pair, "tls.key")];
  execFileSync("openssl", ["req", "-x509", ...key, "-out", join(pair, "tls.crt"), "-days", "2", "-subj", `/CN=${name}`], {
    stdio: "ignore",
  });
  return pair;
}

function swapTo(pair: string): void {
  symlinkSync(pair, join(directory, "..next"));
  renameSync(join(directory, "..next"), join(directory, "..data"));
}

let running: RunningIngest;
let port: number;
beforeAll(async () => {
  swapTo(createPair("first"));
  symlinkSync(join("..data", "tls.crt"), certificateFile);
  symlinkSync(join("..data", "tls.key"), keyFile);
  running = await startIngest({ handshakeMs: 2_500 }, undefined, { processes: 2, rtmps: { port: 0, certificateFile, keyFile } });
  port = running.rtmpsPort ?? 0;
});
afterAll(async () => {
  await running.ingest.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** The name in the certificate that a new connection is shown. */
async function shownName(): Promise<unknown> {
  const socket = connectSecurely({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return CN;
}

async function eventuallyShown(name: string): Promise<void> {
  const deadline = performance.now() + 8_000;
  while ((await shownName()) !== name) if (performance.now() > deadline) throw new Error(`${name} is not shown`);
}

function startFfmpeg(key: string, seconds: number): ChildProcess {
  const url = `rtmps://127.0.0.1:${port}/live/${key}`;
  const argv = ["-v", "error", "-nostdin", "-re", ...syntheticSource, "-t", String(seconds), "-f", "flv", "-tls_verify", "0", url];
  return spawn("ffmpeg", argv, { stdio: "ignore" });
}

describe("RTMPS", () => {
  it("takes FFmpeg's publish whole, through a certificate that is replaced in its middle", { timeout: 30_000 }, async () => {
    const encoder = startFfmpeg("ffmpeg", 4);
    const publication = await running.publication("ffmpeg");
    await eventually(() => running.tags(publication).length > 5);
    expect(await shownName()).toBe("first");
    swapTo(createPair("second"));
    await eventuallyShown("second");
    expect(await publication.ended).toEqual({ reason: "unpublished", message: null });
    expect((await once(encoder, "exit"))[0]).toBe(0);
    const video = running.tags(publication).filter((tag) => tag.type === 9);
    expect(video.length).toBeGreaterThanOrEqual(100);
    expect(publication.remoteAddress).toBe("127.0.0.1");
  });

  it("keeps the old certificate where the new one is no good, and says why without a byte of the key", { timeout: 30_000 }, async () => {
    const [before, other] = ["third", "fourth"].map(createPair);
    swapTo(before ?? "");
    await running.ingest.reloadCertificate();
    await eventuallyShown("third");
    const mixed = join(directory, "mixed");
    mkdirSync(mixed);
    writeFileSync(join(mixed, "tls.crt"), readFileSync(join(before ?? "", "tls.crt")));
    writeFileSync(join(mixed, "tls.key"), readFileSync(join(other ?? "", "tls.key")));
    swapTo(mixed);
    await running.ingest.reloadCertificate();
    expect(running.log.at(-1)).toContain("could not be reloaded; the old one stays in use");
    expect(running.log.at(-1)).toContain("is not that of the certificate");
    writeFileSync(join(mixed, "tls.crt"), "no certificate");
    await running.ingest.reloadCertificate();
    expect(running.log.at(-1)).toContain("holds no certificate");
    writeFileSync(join(mixed, "tls.crt"), readFileSync(join(before ?? "", "tls.crt")));
    writeFileSync(join(mixed, "tls.key"), "-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n");
    await running.ingest.reloadCertificate();
    expect(running.log.at(-1)).toContain("can't be used for TLS");
    unlinkSync(join(mixed, "tls.key"));
    await running.ingest.reloadCertificate();
    expect(running.log.at(-1)).toContain("can't be read (ENOENT)");
    expect(running.log.join()).not.toContain("c2VjcmV0");
    expect(await shownName()).toBe("third");
    swapTo(other ?? "");
    await running.ingest.reloadCertificate();
    await eventuallyShown("fourth");
  });

  it("counts TLS and RTMP handshake as one, and is slow for nobody else", async () => {
    const openedAt = performance.now();
    const silent = connect({ port, host: "127.0.0.1" });
    const silentClosed = once(silent.resume(), "close");
    const half = await RtmpClient.openSecurely(port);
    half.raw(Buffer.alloc(100, 3));
    const plain = await RtmpClient.open(port);
    plain.raw(Buffer.alloc(1537, 3));
    // What the server says of it has to be read for the end to be seen.
    for (const client of [half, plain]) client.socket.resume();
    await plain.closed;
    await Promise.all([silentClosed, half.closed]);
    expect(performance.now() - openedAt).toBeLessThan(3_200);
    expect(running.ingest.pids).toHaveLength(2);
  });

  it("refuses TLS older than 1.2", async () => {
    const socket = connectSecurely({ port, host: "127.0.0.1", rejectUnauthorized: false, maxVersion: "TLSv1.1", minVersion: "TLSv1" });
    const [error] = await once(socket, "error");
    expect(error).toBeInstanceOf(Error);
  });

  it("takes its certificate along when a process is replaced", { timeout: 15_000 }, async () => {
    const pids = running.ingest.pids;
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await eventually(() => running.ingest.pids.length === 0);
    const client = await RtmpClient.openSecurely(port);
    await client.shakeHands();
    await client.setUp();
    expect(await client.publish("after")).toMatchObject({ code: "NetStream.Publish.Start" });
    client.destroy();
    expect((await (await running.publication("after")).ended).reason).toBe("connection_lost");
  });
});

it("connections over RTMPS are forgotten once they are gone", async () => {
  const rtmps = { port: 0, certificateFile, keyFile };
  const limited = await startIngest({ connectionsPerAddress: 2, handshakeMs: 500 }, undefined, { rtmps });
  for (let round = 0; round < 4; round++) {
    const client = await RtmpClient.openSecurely(limited.rtmpsPort ?? 0);
    await client.shakeHands();
    client.destroy();
    const failed = await RtmpClient.open(limited.rtmpsPort ?? 0);
    failed.raw(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await failed.closed;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await limited.ingest.stop();
});

it("RTMPS without a usable certificate stops the start, in words", async () => {
  const missing = { port: 0, certificateFile: join(directory, "missing.crt"), keyFile };
  await expect(startIngest({}, undefined, { rtmps: missing })).rejects.toThrow(
    /RTMPS can't be offered: .*missing.crt can't be read \(ENOENT\)/,
  );
});
