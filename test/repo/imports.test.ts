import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");

/** Rooms, and what each may import: other rooms of the project, and packages (`*` for any). */
const ROOMS: Record<string, { rooms: string[]; packages: string[] }> = {
  domain: { rooms: [], packages: ["zod"] },
  "durable-objects": { rooms: ["domain"], packages: ["cloudflare:workers"] },
  "workers/web/pages": { rooms: ["domain", "workers/web/client", "workers/api/client"], packages: ["*"] },
  // What calls the API from pages and tests: it knows the API's document, not its code.
  "workers/api/client": { rooms: [], packages: ["hono", "hono/client", "hono/types", "hono/utils/http-status"] },
  // What other people's pages load: it stands alone.
  "workers/web/client": { rooms: ["domain"], packages: [] },
  workers: { rooms: ["domain", "durable-objects"], packages: ["*"] },
  origin: { rooms: ["domain"], packages: ["*"] },
};

function sourcesOf(room: string): string[] {
  return readdirSync(join(ROOT, room), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name) && !name.endsWith(".d.ts"))
    .map((name) => join(room, name))
    .filter((path) => roomOf(path) === room);
}

function roomOf(path: string): string | undefined {
  return Object.keys(ROOMS).find((room) => path.startsWith(`${room}/`));
}

function importsOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] as string);
}

describe("import directions", () => {
  it.each(Object.keys(ROOMS))("%s imports only what it may", (room) => {
    const sources = sourcesOf(room);
    expect(sources.length).toBeGreaterThan(0);
    const allowed = ROOMS[room] as { rooms: string[]; packages: string[] };
    const wrong: string[] = [];
    for (const source of sources) {
      for (const specifier of importsOf(source)) {
        if (specifier.startsWith(".")) {
          const target = roomOf(relative(ROOT, resolve(ROOT, dirname(source), specifier)));
          if (target !== room && !allowed.rooms.includes(target ?? "")) wrong.push(`${source} imports ${specifier}`);
        } else if (!allowed.packages.includes("*") && !allowed.packages.includes(specifier)) wrong.push(`${source} imports ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("domain reads no clock, randomness, environment or network", () => {
    const forbidden = /\b(Date\.now|new Date\(\)|Math\.random|performance\.|process\.|setTimeout|setInterval|fetch\(|crypto\.|console\.)/;
    const wrong = sourcesOf("domain").filter((source) => forbidden.test(readFileSync(join(ROOT, source), "utf8")));
    expect(wrong).toEqual([]);
  });
});

describe("files", () => {
  it("are at most 400 lines, and named for what they hold", () => {
    const sources = ["domain", "durable-objects", "workers", "origin", "scripts", "test"].flatMap((room) =>
      readdirSync(join(ROOT, room), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(tsx?|mjs)$/.test(name))
        .map((name) => join(room, name)),
    );
    const long = sources.filter((source) => readFileSync(join(ROOT, source), "utf8").split("\n").length > 400);
    expect(long).toEqual([]);
    expect(sources.filter((source) => /(^|\/)(utils?|helpers?|common|misc|types)(\.|\/)/.test(source))).toEqual([]);
  });
});
