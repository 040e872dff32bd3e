import { describe, expect, it } from "vitest";
import { decideReload, isReached, type LiveHead } from "../../domain/timeline/reload.ts";

/** Segments up to 10 are complete, with 4 parts each; segment 11 has `openParts`. */
function head(openParts: number): LiveHead {
  return { complete: 10, openParts, partsOf: () => 4 };
}

const ask = (openParts: number, msn: number | null, part: number | null) => () => decideReload(head(openParts), { msn, part }, 0.5);

describe("decideReload", () => {
  it("serves what asks for nothing", () => {
    expect(ask(2, null, null)()).toBe("serve");
  });

  it("[BR1] refuses a part without a segment", () => {
    expect(ask(2, null, 1)).toThrow("_HLS_part needs _HLS_msn");
  });

  it.each([
    ["two past the open segment", 2, 13, null, "hold"],
    ["two past a complete edge", 0, 12, null, "hold"],
    ["six parts ahead", 2, 11, 8, "hold"],
  ] as const)("[BR2] holds %s", (_what, open, msn, part, decision) => {
    expect(ask(open, msn, part)()).toBe(decision);
  });

  it.each([
    ["three past the open segment", 2, 14, null],
    ["three past a complete edge", 0, 13, null],
    ["seven parts ahead", 2, 11, 9],
    ["seven parts into a segment that has none", 2, 12, 7],
  ] as const)("[BR2] refuses %s at once", (_what, open, msn, part) => {
    expect(ask(open, msn, part)).toThrow(/ahead|past/);
  });

  it("[BR2] allows three parts ahead where parts are a second long", () => {
    expect(decideReload(head(0), { msn: 11, part: 3 }, 1)).toBe("hold");
    expect(() => decideReload(head(0), { msn: 11, part: 4 }, 1)).toThrow("ahead");
  });

  it("[BR3] takes a part past the end of its segment for part 0 of the next", () => {
    expect(ask(0, 10, 3)()).toBe("serve");
    expect(ask(0, 10, 4)()).toBe("hold");
    expect(ask(1, 10, 4)()).toBe("serve");
    expect(ask(0, 9, 99)()).toBe("serve");
  });

  it("[BR4] serves an old segment at once", () => {
    for (const msn of [0, 1, 9, 10]) expect(ask(0, msn, null)()).toBe("serve");
  });

  it("holds until the segment, or the part, is there", () => {
    expect(ask(3, 11, null)()).toBe("hold");
    expect(ask(3, 11, 2)()).toBe("serve");
    expect(ask(3, 11, 3)()).toBe("hold");
    expect(isReached({ complete: 11, openParts: 0, partsOf: () => 4 }, { msn: 11, part: 3 })).toBe(true);
    // A segment whose parts are not known is complete all the same.
    expect(isReached({ complete: 11, openParts: 0, partsOf: () => 0 }, { msn: 11, part: 3 })).toBe(true);
  });
});
