import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PrivateServer } from "../../origin/http/private-server.ts";
import { createLog } from "../../origin/log.ts";
import { OriginMetrics } from "../../origin/metrics/origin-metrics.ts";
import type { OriginStatus, Readiness } from "../../origin/status.ts";
import { originStatus, streamStatus } from "../fakes/origin-status.ts";

let status: OriginStatus;
let readiness: Readiness;
let server: PrivateServer;
let port: number;
const lines: string[] = [];

interface Got {
  status: number;
  headers: Record<string, unknown>;
  text: string;
}

/** A request with the headers just as they are given, `Host` among them. */
function ask(method: string, path: string, headers: Record<string, string> = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    call.on("error", reject).end();
  });
}

function wire(): PrivateServer {
  return new PrivateServer({
    host: "127.0.0.1",
    port,
    log: createLog("info", { write: (line) => void lines.push(line) }),
    metrics: new OriginMetrics(() => status),
    origin: {
      status: () => status,
      readiness: () => readiness,
      drain: (seconds = 30) => {
        status = { ...status, draining: true, drainDeadline: 1_800_000_000_000 + seconds * 1000 };
      },
      resume: () => {
        status = { ...status, draining: false, drainDeadline: null };
      },
    },
  });
}

beforeEach(async () => {
  status = originStatus({ streams: [streamStatus()] });
  readiness = { ready: true, reasons: [] };
  port = 0;
  server = wire();
  ({ port } = await server.start());
});
afterEach(() => server.stop());

describe("the private server", () => {
  it("says whether the origin is healthy", async () => {
    expect(await ask("GET", "/healthz")).toMatchObject({ status: 200, text: "ok\n" });
    status = originStatus({ ingest: { pids: [], connections: 0 } });
    const sick = await ask("GET", "/healthz");
    expect(sick.status).toBe(503);
    expect(sick.text).toContain("no ingest process");
  });

  it("says whether encoders may be sent to it, and why not", async () => {
    expect(await ask("GET", "/readyz")).toMatchObject({ status: 200, text: '{"ready":true,"reasons":[]}\n' });
    readiness = { ready: false, reasons: ["it drains"] };
    const answer = await ask("GET", "/readyz");
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toEqual(readiness);
    expect((await ask("HEAD", "/readyz")).text).toBe("");
  });

  it("serves metrics and status", async () => {
    const metrics = await ask("GET", "/metrics");
    expect(metrics.headers["content-type"]).toContain("version=0.0.4");
    expect(metrics.text).toContain('nova_streaming_active_streams{profile="passthrough",health="good"} 1');
    expect(metrics.text).not.toContain(streamStatus().stream);
    const answer = await ask("GET", "/status");
    expect(JSON.parse(answer.text)).toEqual(status);
    expect(answer.headers).toMatchObject({ "cache-control": "no-store", "content-type": "application/json; charset=utf-8" });
  });

  it("drains and takes up again", async () => {
    const draining = await ask("POST", "/drain?seconds=120");
    expect(draining.status).toBe(202);
    expect(JSON.parse(draining.text)).toEqual({ draining: true, drainDeadline: 1_800_000_120_000, streams: 1 });
    expect(JSON.parse((await ask("DELETE", "/drain")).text)).toMatchObject({ draining: false });
    expect(JSON.parse((await ask("POST", "/drain")).text)).toMatchObject({ drainDeadline: 1_800_000_030_000 });
    expect(lines.join("")).toContain("asked to drain");
  });

  it.each(["-1", "1.5", "x", "", "86401", "999999999"])("refuses to drain for %j seconds", async (seconds) => {
    expect((await ask("POST", `/drain?seconds=${seconds}`)).status).toBe(400);
    expect(status.draining).toBe(false);
  });

  it("refuses pages of other sites, and names that lead here from outside", async () => {
    const foreign: Record<string, string>[] = [
      { Origin: "https://evil.example" },
      { Origin: "null" },
      { "Sec-Fetch-Site": "cross-site" },
      { Host: "evil.example" },
      { Host: `evil.example:${port}` },
      { Host: "127.0.0.1.evil.example" },
      { Host: "evil.example@127.0.0.1" },
    ];
    for (const headers of foreign) {
      expect([headers, (await ask("POST", "/drain", headers)).status]).toEqual([headers, 403]);
    }
    expect(status.draining).toBe(false);
    for (const Host of [`127.0.0.1:${port}`, "localhost", "[::1]:9464", "origin:9464", "10.1.2.3", "origin-1.nova.internal"]) {
      expect([Host, (await ask("GET", "/status", { Host })).status]).toEqual([Host, 200]);
    }
  });

  it("answers a balancer's check, which names no host", async () => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    socket.write("GET /readyz HTTP/1.0\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it("answers strangers briefly, whatever they ask", async () => {
    expect((await ask("GET", "/")).status).toBe(404);
    expect((await ask("GET", "/constructor")).status).toBe(404);
    const wrong = await ask("GET", "/drain");
    expect([wrong.status, wrong.headers.allow]).toEqual([405, "POST, DELETE"]);
    expect((await ask("POST", "/metrics")).status).toBe(405);
    expect((await ask("GET", "/status", { Long: "x".repeat(10_000) })).status).toBe(431);
  });

  it("says in words that its port is taken", async () => {
    await expect(wire().start()).rejects.toThrow(`private port ${port} is already in use: set PRIVATE_PORT`);
  });

  it("stops with connections open", async () => {
    const idle = connect(port, "127.0.0.1");
    await new Promise((resolve) => idle.once("connect", resolve));
    const closed = new Promise((resolve) => idle.once("close", resolve));
    idle.on("error", () => undefined);
    await server.stop();
    await closed;
    await expect(ask("GET", "/healthz")).rejects.toThrow();
  });
});
