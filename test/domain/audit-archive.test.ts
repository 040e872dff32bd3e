import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type ArchivedEvent, archiveKey, encodeArchive, GENESIS, parseArchive, parseArchiveKey } from "../../domain/audit/archive.ts";
import { StreamIds } from "../../domain/stream-id.ts";

const digest = async (text: string) => createHash("sha256").update(text).digest("hex");
const START = { hash: GENESIS, position: 0 };

function eventAt(position: number): ArchivedEvent {
  return {
    id: `id-${position}`,
    account_id: "a",
    stream_id: null,
    aggregate: "account:a",
    seq: position,
    type: "stream.updated",
    actor: "admin",
    request_id: null,
    occurred_at: "2026-01-01T00:00:00.000Z",
    // What might be taken for the line's own hash, and for the end of a line.
    data: { title: `ä","hash":"${"0".repeat(64)}`, "10": 1, "2": 2, text: "a\nb" },
    position,
    recorded_at: "2026-01-01T00:00:01.000Z",
  };
}

const events = [1, 2, 5, 6].map(eventAt);

describe("the archive", () => {
  it("binds each line to the one before, and goes on in the next object", async () => {
    const one = await encodeArchive(events, GENESIS, digest);
    const two = await encodeArchive([eventAt(7)], one.hash, digest);
    const first = await parseArchive(one.text, START, digest);
    expect(first).toEqual({ first: 1, end: { hash: one.hash, position: 6 }, ids: ["id-1", "id-2", "id-5", "id-6"] });
    expect(await parseArchive(two.text, { hash: one.hash, position: 6 }, digest)).toMatchObject({ first: 7, end: { position: 7 } });
    expect(await parseArchive(two.text, START, digest)).toMatchObject({ line: 1, problem: expect.stringContaining("go on") });
  });

  it("can be proven by whoever reads the page about it", async () => {
    const { text } = await encodeArchive(events, GENESIS, digest);
    let prev = "0".repeat(64);
    for (const line of text.trimEnd().split("\n")) {
      const { hash, ...event } = JSON.parse(line);
      expect(event.prev).toBe(prev);
      const bare = line.replace(/,"hash":"[0-9a-f]{64}"\}$/, "}");
      expect(
        createHash("sha256")
          .update(prev + bare)
          .digest("hex"),
      ).toBe(hash);
      prev = hash;
    }
  });

  it.each<[string, (lines: string[]) => string[], string]>([
    ["a changed value", (lines) => lines.map((line, at) => (at === 2 ? line.replace('"admin"', '"nobody"') : line)), "was changed"],
    ["a line left out", (lines) => lines.toSpliced(1, 1), "go on"],
    ["a line put in", (lines) => lines.toSpliced(1, 0, lines[0] as string), "go on"],
    ["lines in another order", ([a, b, ...rest]) => [b as string, a as string, ...rest], "go on"],
    ["a hash that was cut", (lines) => lines.with(3, `${lines[3]?.slice(0, -4)}"}`), "no hash"],
    ["something else", (lines) => lines.with(0, `nonsense,"hash":"${"0".repeat(64)}"}`), "no event"],
  ])("finds %s", async (_what, change, problem) => {
    const { text } = await encodeArchive(events, GENESIS, digest);
    const changed = change(text.trimEnd().split("\n"));
    expect(await parseArchive(`${changed.join("\n")}\n`, START, digest)).toMatchObject({ problem: expect.stringContaining(problem) });
  });

  it("finds what was forged with good hashes, but out of order", async () => {
    const { text } = await encodeArchive([eventAt(2), eventAt(2)], GENESIS, digest);
    expect(await parseArchive(text, START, digest)).toEqual({ line: 2, problem: expect.stringContaining("position") });
  });

  it("finds an object that is cut off", async () => {
    const { text } = await encodeArchive(events, GENESIS, digest);
    expect(await parseArchive(text.slice(0, -1), START, digest)).toMatchObject({ problem: expect.stringContaining("cut off") });
  });

  it("names its objects in order, where no stream's media can ever be", async () => {
    expect(archiveKey(7)).toBe("audit/events/0000000007.ndjson");
    expect(parseArchiveKey(archiveKey(7))).toBe(7);
    expect(parseArchiveKey("audit/events/7.ndjson")).toBeNull();
    const ids = new StreamIds("secret", async () => new Uint8Array(32));
    expect(await ids.parse(archiveKey(1).split("/")[0] as string)).toBeNull();
  });
});
