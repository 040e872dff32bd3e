import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { DeliveryResource, WebhookResource } from "../../domain/protocol/api/webhooks.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";

/** As the test platform sets it. */
const ADMIN_KEY = "platform-admin-key";
const GUIDE = resolve(import.meta.dirname, "../../docs/webhooks.md");

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

/** What stands at each path of the receiving server: an HTTP status, or nobody who answers. */
const behaviour: Record<string, number | "silent"> = {};
/** What the resolver knows. */
const names: Record<string, string[]> = {};
const received: Received[] = [];
let receiver: Server;
let resolver: Server;
let platform: Platform;
let site: string;

beforeAll(async () => {
  receiver = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? "";
    received.push({ path, headers: request.headers, body: Buffer.concat(chunks).toString(), at: Date.now() });
    const how = behaviour[path] ?? 200;
    if (how !== "silent") response.writeHead(how, { Location: "/redirected" }).end("x".repeat(100_000));
  });
  resolver = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? "", "http://resolver");
    const known = names[searchParams.get("name") ?? ""] ?? [];
    const isV4 = searchParams.get("type") === "A";
    const Answer = known.filter((data) => data.includes(":") !== isV4).map((data) => ({ type: isV4 ? 1 : 28, data }));
    response.setHeader("Content-Type", "application/dns-json").end(JSON.stringify({ Status: 0, Answer }));
  });
  const [receiverPort, resolverPort] = await Promise.all([receiver, resolver].map(listen));
  site = `http://127.0.0.1:${receiverPort}`;
  platform = await startPlatform({ vars: { DNS_URL: `http://127.0.0.1:${resolverPort}/dns-query` } });
});

afterAll(async () => {
  await platform.stop();
  for (const server of [receiver, resolver]) {
    server.closeAllConnections();
    server.close();
  }
});

function listen(server: Server): Promise<number> {
  return new Promise((listening) => server.listen(0, "127.0.0.1", () => listening((server.address() as AddressInfo).port)));
}

async function api<Answer>(method: string, path: string, body?: object, key = ADMIN_KEY): Promise<{ status: number; body: Answer }> {
  const answer = await fetch(`${platform.site}/api/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${key}` },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  return { status: answer.status, body: (text === "" ? null : JSON.parse(text)) as Answer };
}

async function makeWebhook(path: string, eventTypes: string[] = ["stream.created"], key = ADMIN_KEY) {
  const wanted = { url: site + path, event_types: eventTypes };
  const { status, body } = await api<WebhookResource & { secret: string }>("POST", "/webhooks", wanted, key);
  expect([status, body]).toEqual([201, expect.objectContaining({ secret: expect.any(String) })]);
  return body;
}

/** An account of its own; its key. */
async function makeAccount(name: string): Promise<string> {
  const account = await api<{ id: string }>("POST", "/accounts", { name });
  const wanted = { name: "key", scopes: ["streams:read", "streams:write"] };
  return (await api<{ key: string }>("POST", `/accounts/${account.body.id}/api-keys`, wanted)).body.key;
}

async function makeStream(key: string): Promise<void> {
  expect(await api("POST", "/streams", { title: "Test stream" }, key)).toMatchObject({ status: 201 });
}

const receivedAt = (path: string) => received.filter((one) => one.path === path);

async function deliveriesOf(id: string): Promise<DeliveryResource[]> {
  return (await api<{ deliveries: DeliveryResource[] }>("GET", `/webhooks/${id}/deliveries`)).body.deliveries;
}

/** What became of a webhook's only delivery. */
function settled(id: string, expected: Partial<DeliveryResource>, timeout = 20_000): Promise<DeliveryResource> {
  return vi.waitFor(
    async () => {
      const [delivery] = await deliveriesOf(id);
      expect(delivery).toMatchObject(expected);
      return delivery as DeliveryResource;
    },
    { timeout, interval: 200 },
  );
}

/** A block of code out of the guide for receivers. */
function codeOfGuide(language: string): string {
  const code = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(readFileSync(GUIDE, "utf8"))?.[1];
  if (code === undefined) throw new Error(`no ${language} in the guide`);
  return code;
}

describe("webhooks", () => {
  it("what happens reaches the receiver, signed", async () => {
    const webhook = await makeWebhook("/signed", ["stream.created", "stream.deleted"]);
    const { id } = await platform.createStream({ title: "Grüße 🎥" });
    await platform.deleteStream(id);
    await vi.waitFor(() => expect(receivedAt("/signed")).toHaveLength(2), { timeout: 20_000, interval: 100 });
    for (const { headers, body } of receivedAt("/signed")) {
      const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers["nova-signature"] as string) ?? [];
      expect(v1).toBe(createHmac("sha256", webhook.secret).update(`${t}.${body}`).digest("hex"));
      expect(JSON.parse(body)).toMatchObject({ id: headers["nova-event-id"], type: headers["nova-event-type"], stream_id: id });
    }
    expect(new Set(receivedAt("/signed").map(({ headers }) => headers["nova-event-type"]))).toEqual(
      new Set(["stream.created", "stream.deleted"]),
    );
    await vi.waitFor(async () => {
      expect((await deliveriesOf(webhook.id)).map(({ status, last_status }) => [status, last_status])).toEqual([
        ["delivered", 200],
        ["delivered", 200],
      ]);
    });
  });

  it("the guide's own code checks the signature, in JavaScript and Python", async () => {
    const webhook = await makeWebhook("/guide");
    expect(await api("POST", `/webhooks/${webhook.id}/test`)).toMatchObject({ status: 200, body: { status: "delivered" } });
    const [{ headers, body }] = receivedAt("/guide") as [Received];
    const signature = headers["nova-signature"] as string;
    const folder = mkdtempSync(join(tmpdir(), "nova-webhook-"));
    try {
      const cases = [
        [signature, body, webhook.secret, true],
        [signature, `${body} `, webhook.secret, false],
        [signature, body, "whsec_another", false],
        [signature.replace(/t=\d+/, "t=1714672800"), body, webhook.secret, false],
        [`t=1714672800,v1=${createHmac("sha256", webhook.secret).update(`1714672800.${body}`).digest("hex")}`, body, webhook.secret, false],
        ["", body, webhook.secret, false],
        [`${signature.split(",")[0]},v1=00,${signature.split(",")[1]}`, body, webhook.secret, true],
      ] as const;
      writeFileSync(join(folder, "cases.json"), JSON.stringify(cases));
      writeFileSync(
        join(folder, "check.mjs"),
        `${codeOfGuide("js")}\nimport { readFileSync } from "node:fs";\nconst cases = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf8"));\nconsole.log(JSON.stringify(cases.map(([signature, body, secret]) => isFromNovaEdge(Buffer.from(body), signature, secret))));\n`,
      );
      writeFileSync(
        join(folder, "check.py"),
        `${codeOfGuide("python")}\nimport json, os\ncases = json.load(open(os.path.join(os.path.dirname(__file__), "cases.json")))\nprint(json.dumps([is_from_nova_edge(body.encode(), signature, secret) for signature, body, secret, _ in cases]))\n`,
      );
      const expected = cases.map(([, , , isGood]) => isGood);
      expect(JSON.parse(execFileSync(process.execPath, [join(folder, "check.mjs")], { encoding: "utf8" }))).toEqual(expected);
      expect(JSON.parse(execFileSync("python3", [join(folder, "check.py")], { encoding: "utf8" }))).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("a receiver that fails is asked again, and a dead delivery when it is asked for", async () => {
    behaviour["/flaky"] = 503;
    const webhook = await makeWebhook("/flaky");
    await platform.createStream();
    await settled(webhook.id, { status: "pending", attempts: 1, last_status: 503, last_error: "http_status" });
    behaviour["/flaky"] = 204;
    // The first wait is of five seconds.
    const delivery = await settled(webhook.id, { status: "delivered", attempts: 2, last_status: 204, last_error: null });
    expect(receivedAt("/flaky")).toHaveLength(2);
    expect(await api("POST", `/webhooks/${webhook.id}/deliveries/${delivery.id}/redeliver`)).toMatchObject({
      status: 202,
      body: { status: "pending" },
    });
    await settled(webhook.id, { status: "delivered", attempts: 1 });
    const bodies = receivedAt("/flaky").map(({ headers, body }) => [headers["nova-event-id"], headers["nova-delivery-id"], body]);
    expect(bodies).toHaveLength(3);
    expect(new Set(bodies.map((one) => JSON.stringify(one))).size).toBe(1);
  });

  it("a redirect is not followed", async () => {
    behaviour["/moved"] = 307;
    const webhook = await makeWebhook("/moved");
    expect(await api("POST", `/webhooks/${webhook.id}/test`)).toMatchObject({
      body: { status: "dead", last_status: 307, last_error: "redirect" },
    });
    expect(receivedAt("/redirected")).toEqual([]);
  });

  it("a receiver that is silent is left after ten seconds, and one that is away at once", async () => {
    behaviour["/silent"] = "silent";
    const silent = await makeWebhook("/silent");
    const { body } = await api<{ took_ms: number }>("POST", `/webhooks/${silent.id}/test`);
    expect(body).toMatchObject({ status: "dead", last_status: null, last_error: "timeout" });
    expect(body.took_ms).toBeGreaterThan(9_500);
    expect(body.took_ms).toBeLessThan(15_000);
    const away = await api<WebhookResource>("POST", "/webhooks", { url: "http://127.0.0.1:1/", event_types: ["stream.created"] });
    expect(await api("POST", `/webhooks/${away.body.id}/test`)).toMatchObject({
      body: { status: "dead", last_error: "connection_failed" },
    });
  });

  it("a receiver that is silent holds up no other", async () => {
    behaviour["/asleep"] = "silent";
    const asleep = await makeWebhook("/asleep");
    const awake = await makeWebhook("/awake");
    for (let count = 1; count <= 3; count++) {
      await platform.createStream();
      await vi.waitFor(() => expect(receivedAt("/awake")).toHaveLength(count), { timeout: 5_000, interval: 50 });
    }
    const waiting = await deliveriesOf(asleep.id);
    expect(waiting.map(({ status }) => status)).toEqual(["pending", "pending", "pending"]);
    // Whom nobody has heard of yet is sent one at a time.
    expect(waiting.map(({ attempts }) => attempts).toSorted()).toEqual([0, 0, 1]);
    for (const { id } of [asleep, awake]) expect(await api("DELETE", `/webhooks/${id}`)).toMatchObject({ status: 204 });
  });

  it("names are looked up when a webhook is made, and again before each attempt", async () => {
    names["inside.example.com"] = ["93.184.215.14", "127.0.0.1"];
    const made = (url: string) => api<WebhookResource & { error: string }>("POST", "/webhooks", { url, event_types: ["stream.created"] });
    for (const url of [
      "https://inside.example.com/",
      "https://nobody.example.com/",
      "https://10.0.0.1/",
      "https://169.254.169.254/",
      "http://hooks.example.com/",
    ]) {
      expect(await made(url)).toMatchObject({ status: 400, body: { error: "url_not_allowed" } });
    }
    names["turning.example.com"] = ["93.184.215.14"];
    const { status, body } = await made(`https://turning.example.com:${new URL(site).port}/turned`);
    expect(status).toBe(201);
    names["turning.example.com"] = ["127.0.0.1"];
    expect(await api("POST", `/webhooks/${body.id}/test`)).toMatchObject({ body: { status: "dead", last_error: "address_not_public" } });
    expect(receivedAt("/turned")).toEqual([]);
  });

  it("300 deliveries to receivers that are silent hold up no other account, nor are they all attempted", async () => {
    const [attacker, victim] = [await makeAccount("Attacker"), await makeAccount("Victim")];
    const paths = Array.from({ length: 20 }, (_, index) => `/pit/${index}`);
    for (const path of paths) {
      behaviour[path] = "silent";
      await makeWebhook(path, ["stream.created"], attacker);
    }
    await makeWebhook("/victim", ["stream.created"], victim);
    for (let count = 0; count < 15; count++) await makeStream(attacker);
    const delays: number[] = [];
    for (let count = 1; count <= 6; count++) {
      const askedAt = Date.now();
      await makeStream(victim);
      await vi.waitFor(() => expect(receivedAt("/victim")).toHaveLength(count), { timeout: 5_000, interval: 20 });
      delays.push((receivedAt("/victim").at(-1)?.at ?? Infinity) - askedAt);
      await new Promise((passed) => setTimeout(passed, 1_000));
    }
    expect(Math.max(...delays)).toBeLessThan(3_000);
    for (const path of paths) expect(receivedAt(path).length).toBeLessThanOrEqual(3);
  });

  it("a burst of 100 events reaches a receiver that answers within seconds", async () => {
    const key = await makeAccount("Busy");
    await makeWebhook("/busy", ["stream.created"], key);
    await Promise.all(Array.from({ length: 100 }, () => makeStream(key)));
    await vi.waitFor(() => expect(receivedAt("/busy")).toHaveLength(100), { timeout: 12_000, interval: 100 });
  });
});
