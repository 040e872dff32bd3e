import { describe, expect, it } from "vitest";
import { createLog } from "../../origin/log.ts";

function open(level: string) {
  const lines: string[] = [];
  return { lines, log: createLog(level, { write: (line) => void lines.push(line) }) };
}

describe("the log", () => {
  it("is JSON lines, with a child's fields in each of its lines", () => {
    const { log, lines } = open("info");
    const child = log.child({ stream: "s1" }).child({ epoch: 3 });
    child.info({ fps: 30 }, "first frames");
    child.debug({}, "too much");
    log.warn({}, "alone");
    const [first, second] = lines.map((line) => JSON.parse(line) as object);
    expect(first).toMatchObject({ level: "info", stream: "s1", epoch: 3, fps: 30, msg: "first frames" });
    expect(second).toMatchObject({ level: "warn", msg: "alone" });
    expect(second).not.toHaveProperty("stream");
    expect(lines).toHaveLength(2);
  });

  it("keeps secrets in, should one be passed", () => {
    const { log, lines } = open("debug");
    const secret = "S3CRET-0123456789";
    log.info({ token: secret, stream_key: secret, lease: secret, kept: 1 }, "flat");
    log.info({ headers: { Authorization: secret, Lease: secret }, request: { body: { stream_key: secret } } }, "deep");
    log.child({ authorization: secret, stream: "s1" }).error({ answer: { lease: secret } }, "in a child");
    expect(lines.join("")).not.toContain(secret);
    expect(lines.join("")).toContain('"kept":1');
    expect(lines.join("")).toContain('"stream":"s1"');
  });
});
