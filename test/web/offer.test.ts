import { describe, expect, it } from "vitest";
import { decideOffer } from "../../workers/web/pages/watch/offer.ts";

const LEVELS = ["480p", "720p", "1080p"];

describe("a player that hears which renditions the stream has", () => {
  it("goes on where they are those that it knows", () => {
    expect(decideOffer(LEVELS, ["1080p", "720p", "480p"])).toEqual({ follows: true, ceiling: null });
  });

  it("leaves the highest where it is gone, and goes back where it is there again", () => {
    expect(decideOffer(LEVELS, ["720p", "480p"])).toEqual({ follows: true, ceiling: 1 });
    expect(decideOffer(LEVELS, ["480p"])).toEqual({ follows: true, ceiling: 0 });
    expect(decideOffer(LEVELS, LEVELS)).toEqual({ follows: true, ceiling: null });
  });

  it.each([
    ["one that it does not know", ["720p", "480p", "source"]],
    ["others", ["source"]],
    ["a gap in the middle", ["1080p", "480p"]],
  ])("loads anew where there is %s", (_what, offered) => {
    expect(decideOffer(LEVELS, offered)).toEqual({ follows: false, ceiling: null });
  });

  it("has nothing to decide before it knows any, or where nobody says", () => {
    expect(decideOffer([], ["source"])).toEqual({ follows: true, ceiling: null });
    expect(decideOffer(LEVELS, [])).toEqual({ follows: true, ceiling: null });
  });
});
