import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { OriginMetrics } from "../../origin/metrics/origin-metrics.ts";
import { originStatus, streamStatus } from "../fakes/origin-status.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

interface Instruction {
  name: string;
  /** What follows it, its lines joined. */
  text: string;
}

/** A Dockerfile's instructions, stage by stage. */
function stagesOf(path: string): Instruction[][] {
  const lines = read(path)
    .split("\n")
    .filter((line) => !/^\s*(#|$)/.test(line));
  const joined = lines.join("\n").replaceAll(/\s*\\\n\s*/g, " ");
  const stages: Instruction[][] = [];
  for (const line of joined.split("\n")) {
    const [, name, text] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (name === undefined || text === undefined) throw new Error(`${path}: not an instruction: ${line}`);
    if (name === "FROM") stages.push([]);
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error(`${path}: begins with ${name}`);
    stage.push({ name, text });
  }
  return stages;
}

/** A rule of .dockerignore as it matches whole paths, of folders too; hidden ones are not different from others. */
function ruleOf(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("**/", "<any>")
    .replaceAll("*", "[^/]*")
    .replaceAll("<any>", "(.*/)?");
  return new RegExp(`^${source}(/.*)?$`);
}

/** Whether a path of the project reaches a build: the last rule that matches it, or a folder above it, decides. */
function reachesBuild(path: string): boolean {
  const rules = read(".dockerignore")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const deciding = rules.findLast((rule) => ruleOf(rule.replace(/^!/, "")).test(path));
  return deciding === undefined || deciding.startsWith("!");
}

const PORTS = { "origin/Dockerfile": "1935", "scripts/container/edge.Dockerfile": "8787" };

describe.each(Object.entries(PORTS))("%s", (path, port) => {
  const stages = stagesOf(path);
  const last = stages.at(-1) ?? [];
  const texts = (name: string) => last.filter((instruction) => instruction.name === name).map(({ text }) => text);

  it("copies what exists and what reaches the build", () => {
    const copies = stages.flat().filter(({ name, text }) => name === "COPY" && !text.startsWith("--from="));
    const sources = copies.flatMap(({ text }) => text.split(/\s+/).slice(0, -1));
    expect(sources.length).toBeGreaterThan(3);
    expect(sources.filter((source) => !existsSync(join(ROOT, source)) || !reachesBuild(source))).toEqual([]);
  });

  it("has the bases pinned, and stages that exist", () => {
    const names = stages.map(([from]) => from?.text ?? "");
    expect(names.filter((text) => !/^node:24-bookworm-slim( AS [a-z]+)?$/.test(text))).toEqual([]);
    const stageNames = names.flatMap((text) => text.split(" AS ")[1] ?? []);
    const used = stages.flat().flatMap(({ text }) => /^--from=(\S+)/.exec(text)?.[1] ?? []);
    expect(used.filter((name) => !stageNames.includes(name))).toEqual([]);
    expect(used.length).toBeGreaterThan(0);
  });

  it("runs as a numeric user without rights, under an init, and says how it does", () => {
    expect(texts("USER")).toEqual(["10001:10001"]);
    expect(texts("STOPSIGNAL")).toEqual(["SIGTERM"]);
    expect(texts("EXPOSE")).toEqual([port]);
    const [entry] = texts("ENTRYPOINT").map((text) => JSON.parse(text) as string[]);
    expect(entry?.slice(0, 3)).toEqual(["tini", "--", "node"]);
    expect(existsSync(join(ROOT, entry?.[3] ?? "?"))).toBe(true);
    const health = texts("HEALTHCHECK")[0] ?? "";
    const [, command] = /CMD (\[.*\])$/.exec(health) ?? [];
    expect(JSON.parse(command ?? "[]")).toEqual(["node", "-e", expect.stringMatching(/^fetch\(`http:\/\/127\.0\.0\.1:/)]);
    // What it says is a program.
    expect(() => new Function((JSON.parse(command ?? "[]") as string[])[2] ?? ")")).not.toThrow();
  });

  it("holds no secret", () => {
    const text = read(path);
    expect(text).not.toMatch(/\b(ORIGIN_TOKEN|ADMIN_API_KEY|ID_SECRET|PLAYBACK_KEYS)\s*=/);
    expect(text).not.toMatch(/^ARG /m);
  });
});

describe(".dockerignore", () => {
  it("keeps secrets, data and this machine's dependencies out", () => {
    const strangers = [
      ".env",
      ".data/secrets.json",
      ".git/config",
      "node_modules/zod/index.js",
      ".dev.vars",
      "origin/.env",
      "dist/edge/index.js",
    ];
    expect(strangers.filter(reachesBuild)).toEqual([]);
    expect(["origin/main.ts", "docs/streaming-api.openapi.yaml"].filter((path) => !reachesBuild(path))).toEqual([]);
  });
});

interface Service {
  build: { context: string; dockerfile: string };
  read_only: boolean;
  cap_drop: string[];
  security_opt: string[];
  tmpfs: string[];
  ports: string[];
  volumes: string[];
  environment: Record<string, string>;
  stop_grace_period: string;
  depends_on?: Record<string, { condition: string }>;
  privileged?: boolean;
  mem_limit: string;
  pids_limit: number;
}

describe("compose.yaml", () => {
  const compose = parse(read("compose.yaml"), { merge: true }) as { services: Record<string, Service>; volumes: Record<string, null> };
  const services = Object.entries(compose.services);
  const service = (name: string) => {
    const found = compose.services[name];
    if (found === undefined) throw new Error(`no service ${name}`);
    return found;
  };
  const origin = service("origin");

  it("runs origin and edge, each in the image that its Dockerfile builds", () => {
    expect(services.map(([name, { build }]) => [name, build.dockerfile]).sort()).toEqual([
      ["edge", "scripts/container/edge.Dockerfile"],
      ["origin", "origin/Dockerfile"],
    ]);
    expect(origin.depends_on).toEqual({ edge: { condition: "service_healthy" } });
    expect(origin.environment.EDGE_URL).toBe("http://edge:8787");
  });

  it.each(services)("%s can write nowhere but where it must, has no rights, and bounds", (_name, service) => {
    expect(service).toMatchObject({ read_only: true, cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] });
    expect(service.privileged).toBeUndefined();
    expect(service.mem_limit).toMatch(/^\d+g$/);
    expect(service.pids_limit).toBeGreaterThan(0);
    expect(service.tmpfs.every((mount) => mount.includes("size="))).toBe(true);
    const named = service.volumes.map((volume) => volume.split(":")[0] ?? "");
    expect(named.filter((volume) => !(volume in compose.volumes))).toEqual([]);
  });

  it("publishes RTMP and the site alone: never the private port", () => {
    const published = services.flatMap(([, { ports }]) => ports.map((port) => port.replace(/^.*:/, "")));
    expect(published.sort()).toEqual(["1935", "8787"]);
  });

  it("gives the volumes and memory where the image wants to write", () => {
    const image = stagesOf("origin/Dockerfile").at(-1) ?? [];
    const env = image.find(({ name }) => name === "ENV")?.text ?? "";
    const mounted = [...origin.tmpfs, ...origin.volumes.map((volume) => volume.replace(/^[^:]*:/, ""))].map(
      (mount) => mount.split(":")[0] ?? "",
    );
    for (const name of ["RUN_DIR", "SPOOL_DIR"]) {
      const path = new RegExp(`${name}=(\\S+)`).exec(env)?.[1] ?? "";
      // Below the mount, not the mount itself: the origin removes its run directory when it ends.
      expect([name, mounted.some((mount) => path.startsWith(`${mount}/`))]).toEqual([name, true]);
    }
  });

  it("takes secrets from the environment alone, and does not start without them", () => {
    for (const name of ["ORIGIN_TOKEN", "ADMIN_API_KEY"]) {
      for (const [, { environment }] of services) {
        if (name in environment) expect(environment[name]).toMatch(new RegExp(`^\\$\\{${name}:\\?.*\\.env`));
      }
      expect(read(".env.example")).toMatch(new RegExp(`^${name}=$`, "m"));
    }
    expect(origin.environment.ORIGIN_TOKEN).toBeDefined();
    expect(origin.environment.ORIGIN_TOKEN).toBe(service("edge").environment.ORIGIN_TOKEN);
    const variables = [...read("compose.yaml").matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name ?? "");
    const example = read(".env.example");
    const unnamed = variables.filter((name) => name !== "ORIGIN_ID" && !new RegExp(`^#?${name}=`, "m").test(example));
    expect(unnamed).toEqual([]);
  });

  it("waits longer for the origin to end than it drains, uploads and says goodbye", () => {
    const drain = Number(/DRAIN_SECONDS:-(\d+)/.exec(origin.environment.DRAIN_SECONDS ?? "")?.[1]);
    expect(Number.parseInt(origin.stop_grace_period, 10)).toBeGreaterThanOrEqual(drain + 40);
  });
});

describe("the origin's alerts and its guide", () => {
  const names = (text: string) =>
    new Set([...text.matchAll(/nova_streaming_[a-z_]+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, "")));

  it("speak of metrics that there are", async () => {
    const status = originStatus({ streams: [streamStatus()] });
    const exposed = names(await new OriginMetrics(() => status).text());
    for (const path of ["origin/deploy/alerts.yaml", "docs/origin.md"]) {
      const used = names(read(path));
      expect(used.size).toBeGreaterThan(5);
      expect([path, [...used].filter((name) => !exposed.has(name))]).toEqual([path, []]);
    }
    const rules = (parse(read("origin/deploy/alerts.yaml")) as { groups: { rules: Record<string, unknown>[] }[] }).groups.flatMap(
      ({ rules }) => rules,
    );
    for (const rule of rules)
      expect(rule).toMatchObject({ alert: expect.any(String), expr: expect.any(String), annotations: { summary: expect.any(String) } });
  });

  it("name every setting, with the default that it has", () => {
    const guide = read("docs/origin.md");
    const source = read("origin/config.ts");
    const settings = [...source.matchAll(/^ {4}([A-Z][A-Z_]+): .+,$/gm)].map(([line, name]) => ({
      name: name ?? "",
      fallback: /default\((?:"([^"]+)"|([\d_]+))\)/.exec(line),
    }));
    expect(settings.length).toBeGreaterThan(20);
    for (const { name, fallback } of settings) {
      const row = guide.split("\n").find((line) => line.startsWith("|") && line.includes(`\`${name}\``));
      expect([name, row !== undefined]).toEqual([name, true]);
      const value = fallback?.[1] ?? fallback?.[2]?.replaceAll("_", "");
      if (value !== undefined) expect([name, row?.replaceAll(",", "")]).toEqual([name, expect.stringContaining(value)]);
    }
  });
});
