import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { REFUSALS } from "../../domain/protocol/api/refusals.ts";
import { CloseCode } from "../../domain/protocol/events.ts";
import type { ApiOperation, JsonSchema, MediaTypes, OpenApiObject } from "../../workers/api/document/openapi-object.ts";
import { SchemaCheck } from "../fakes/schema-check.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PATH = "docs/streaming-api.openapi.yaml";
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const document = parse(read(PATH)) as OpenApiObject;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method, path, ...operation })),
);

interface SocketMessage {
  name: string;
  description: string;
  example: unknown;
  schema: JsonSchema;
}

function responsesOf({ responses }: ApiOperation) {
  return Object.entries(responses).map(([status, response]) => {
    const own = "$ref" in response ? document.components.responses[response.$ref.replace(/.*\//, "")] : response;
    if (own === undefined) throw new Error(`no such response: ${status}`);
    return { status: Number(status), ...own };
  });
}

/** What a body shows as its examples: its own, or that of its schema. */
function examplesOf(content: MediaTypes | undefined): { schema: JsonSchema; value: unknown }[] {
  return Object.values(content ?? {}).flatMap(({ schema, example, examples }) => {
    const named = Object.values(examples ?? {}).map(({ value }) => value);
    const target = schema.$ref === undefined ? schema : document.components.schemas[schema.$ref.replace(/.*\//, "")];
    return [...named, example ?? target?.example].filter((value) => value !== undefined).map((value) => ({ schema, value }));
  });
}

const check = new SchemaCheck(document);

describe("the API's document", () => {
  it("and the types of its client are those of the code: `npm run openapi` writes them", async () => {
    // In a process of its own, where the Worker's modules are loaded as the script loads them.
    const node = join(ROOT, "node_modules/.bin/node");
    const { stdout } = await promisify(execFile)(node, [join(ROOT, "scripts/openapi.ts"), "--check"]).catch(
      (error) => error as { stdout: string },
    );
    expect(stdout).toBe("up to date\n");
  });

  it("keeps the rules of OpenAPI 3.0.3", async () => {
    expect(document.openapi).toBe("3.0.3");
    const config = await createConfig({ extends: ["recommended"] });
    const problems = await lintFromString({ source: read(PATH), absoluteRef: PATH, config });
    const found = problems.map(({ ruleId, location }) => `${ruleId} ${location[0]?.pointer}`);
    expect(found).toEqual([
      // The platform is not licensed to the public, so there is no page that says how.
      "info-license-strict #/info/license/url",
      // A WebSocket opens with 101.
      "operation-2xx-response #/paths/~1api~1v1~1streams~1{id}~1ws/get/responses",
      // Whoever asks for health is refused nothing.
      "operation-4xx-response #/paths/~1health/get/responses",
      "operation-4xx-response #/paths/~1ready/get/responses",
    ]);
  });

  it("is of the version that the package is", () => {
    expect(document.info.version).toBe((JSON.parse(read("package.json")) as { version: string }).version);
  });

  it("describes every operation: name, group, who may, what it takes, what it answers", () => {
    const names = operations.map(({ operationId }) => operationId);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    const described = document.tags.map(({ name }) => name);
    const used = new Set(operations.flatMap(({ tags }) => tags));
    expect([...used].filter((tag) => !described.includes(tag))).toEqual([]);
    expect(described.filter((tag) => !used.has(tag))).toEqual([]);
    for (const operation of operations) {
      const { operationId, summary, description, security } = operation;
      expect([operationId, summary?.length > 5, description?.length > 5]).toEqual([operationId, true, true]);
      const needsKey = security.length > 0;
      expect([operationId, responsesOf(operation).some(({ status }) => status === 401)]).toEqual([
        operationId,
        needsKey || operationId === "openSocket",
      ]);
    }
  });

  it("has an example of every body, and each is right", () => {
    const wrong: unknown[] = [];
    for (const operation of operations) {
      const bodies = [
        { name: "request", content: operation.requestBody?.content },
        ...responsesOf(operation).map(({ status, content }) => ({ name: String(status), content })),
      ];
      for (const { name, content } of bodies) {
        if (content === undefined) continue;
        const examples = examplesOf(content);
        if (examples.length === 0) wrong.push([operation.operationId, name, "no example"]);
        for (const { schema, value } of examples) {
          const problems = check.problems(schema, value);
          if (problems.length > 0) wrong.push([operation.operationId, name, problems]);
        }
      }
    }
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      if (schema.example !== undefined && check.problems(schema, schema.example).length > 0)
        wrong.push([name, check.problems(schema, schema.example)]);
    }
    expect(wrong).toEqual([]);
  });

  it("lists every refusal under its status", () => {
    const listed = new Map<string, number>();
    for (const { status, content } of operations.flatMap(responsesOf)) {
      for (const code of Object.keys(content?.["application/json"]?.examples ?? {})) listed.set(code, status);
    }
    const everywhere = ["not_found", "method_not_allowed", "unsupported_media_type"];
    for (const [code, [status]] of Object.entries(REFUSALS)) {
      if (!everywhere.includes(code)) expect([code, listed.get(code)]).toEqual([code, status]);
    }
  });

  it("has every message of the WebSocket, with an example that is right, and every close code", () => {
    const socket = operations.find(({ operationId }) => operationId === "openSocket") as unknown as {
      "x-websocket-messages": { server: SocketMessage[]; client: SocketMessage[] };
      "x-websocket-close-codes": Record<string, string>;
    };
    const { server, client } = socket["x-websocket-messages"];
    expect(client.map(({ name }) => name)).toEqual(["ack", "playback", "ping"]);
    const told = read("docs/websocket.md");
    for (const { name, description, schema, example } of [...server, ...client]) {
      expect([name, description.length > 10, check.problems(schema, example)]).toEqual([name, true, []]);
      expect([name, told.includes(name)]).toEqual([name, true]);
      expect(JSON.stringify(schema)).not.toMatch(/definitions|\$defs/);
    }
    const named = [...told.matchAll(/"event": "(\w+)"/g)].map(([, name]) => name as string);
    expect(server.map(({ name }) => name).sort()).toEqual([...new Set([...named, "pong"])].sort());
    expect(Object.keys(socket["x-websocket-close-codes"]).map(Number).sort()).toEqual(Object.values(CloseCode).sort());
  });
});
