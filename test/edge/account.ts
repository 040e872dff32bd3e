import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Scope } from "../../domain/protocol/api/access.ts";
import worker from "../../workers/index.ts";
import { ask, askApi, SITE } from "./edge.ts";

export const BROADCASTER: Scope[] = ["streams:read", "streams:write", "keys:write"];

/** A broadcaster's account with an API key. */
export interface TestAccount {
  id: string;
  key: string;
  keyId: string;
  /** A request with its key. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
}

/** Makes an account as its administrator does. */
export async function createAccount(name = "Broadcaster", scopes: Scope[] = BROADCASTER): Promise<TestAccount> {
  const { id } = await answerOf<{ id: string }>(askApi("POST", "/api/v1/accounts", { name }), 201);
  const made = await answerOf<{ id: string; key: string }>(
    askApi("POST", `/api/v1/accounts/${id}/api-keys`, { name: `${name}'s key`, scopes }),
    201,
  );
  return { id, key: made.key, keyId: made.id, ask: askWith(made.key) };
}

/** Requests with a key or token. */
export function askWith(key: string): TestAccount["ask"] {
  return (method, path, body, headers = {}) =>
    ask(path, {
      method,
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", ...headers },
      body: body === undefined ? null : JSON.stringify(body),
    });
}

/** The JSON of an answer that must have a status. */
export async function answerOf<Body>(pending: Promise<Response>, status: number): Promise<Body> {
  const answer = await pending;
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${await answer.text()}`);
  return answer.json();
}

/** A request to a Worker some of whose bindings and settings are others; what it leaves to do after the answer is done. */
export async function askWorker(bindings: Partial<Env>, path: string, init?: RequestInit): Promise<Response> {
  const context = createExecutionContext();
  const request = new Request(SITE + path, init) as Parameters<typeof worker.fetch>[0];
  const answer = await worker.fetch(request, { ...env, ...bindings }, context);
  await waitOnExecutionContext(context);
  return answer;
}

/** A database that must not be asked. */
export function closedDatabase(): { DB: D1Database; asked: () => number } {
  let asked = 0;
  const prepare = () => {
    asked++;
    throw new Error("D1_ERROR: this test has no database");
  };
  return { DB: { prepare, batch: prepare } as unknown as D1Database, asked: () => asked };
}
