import { describe, expect, it } from "vitest";
import { describeQuality, NO_QUALITIES, nameQualities } from "../../workers/web/pages/watch/qualities.ts";

const rendition = (height: number, frameRate = 30, bitrate = 1_000_000) => ({ height, frameRate, bitrate });

describe("qualities", () => {
  it("are named by height, best first, each with its own index", () => {
    expect(nameQualities([rendition(360), rendition(1080), rendition(720)])).toEqual([
      { index: 1, label: "1080p" },
      { index: 2, label: "720p" },
      { index: 0, label: "360p" },
    ]);
  });

  it("say what else tells two apart", () => {
    const names = nameQualities([rendition(720, 60), rendition(720, 29.97, 2_500_000), rendition(720, 30, 1_200_000)]);
    expect(names.map(({ label }) => label).toSorted()).toEqual(["720p, 1.2 Mbit/s", "720p, 2.5 Mbit/s", "720p60"]);
    expect(nameQualities([rendition(0, 0)])[0]?.label).toBe("Audio");
  });

  it("are described by the choice, or by what plays", () => {
    const choices = nameQualities([rendition(720), rendition(360)]);
    expect(describeQuality(NO_QUALITIES)).toBeNull();
    expect(describeQuality({ choices, chosen: null, playing: null })).toBe("Auto");
    expect(describeQuality({ choices, chosen: null, playing: 1 })).toBe("Auto (360p)");
    expect(describeQuality({ choices, chosen: 0, playing: 1 })).toBe("720p");
  });
});
