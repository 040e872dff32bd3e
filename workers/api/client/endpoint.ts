import type { StatusCode } from "hono/utils/http-status";

/** An operation as hono's client knows it: what it takes, and what it answers by status. */
export type Endpoint<Input, Answers> = {
  [Status in keyof Answers & StatusCode]: { input: Input; output: Answers[Status]; outputFormat: "json"; status: Status };
}[keyof Answers & StatusCode];

/** The answers of an operation: its own, and its refusals. */
export type WithRefusals<Answers, Status extends StatusCode, Body> = Answers & Record<Status, Body>;
