import { describe, expect, it } from "vitest";
import { computeOffer } from "../../domain/timeline/offered.ts";
import { Timeline } from "../../domain/timeline/timeline.ts";

const LADDER = ["1080p", "720p", "audio"];

class Scene {
  readonly timeline = new Timeline();
  #epoch = 0;

  connect(names: string[]): this {
    this.#epoch += 1;
    this.timeline.openEpoch(this.#epoch);
    this.timeline.setTracks(this.#epoch, this.#epoch * 100_000, names);
    for (const name of names) this.timeline.addInit(this.#epoch, name);
    return this;
  }

  push(msn: number, names: string[]): this {
    const segment = { msn, epoch: this.#epoch, duration: 2, pdt: msn * 2000, time: null, size: 400, gap: false };
    for (const name of names) this.timeline.commit(name, { ...segment, digest: `${name}/${msn}` });
    return this;
  }

  get offer() {
    return computeOffer(this.timeline, (_, name) => name !== "audio");
  }
}

describe("what viewers are offered", () => {
  it("is nothing before the first tracks, then what these say", () => {
    const scene = new Scene();
    expect(scene.offer).toBeNull();
    expect(scene.connect(LADDER).offer).toEqual({ epoch: 1, renditions: LADDER });
  });

  it("is what was before while a new epoch has nothing but its sound in common with it", () => {
    const scene = new Scene().connect(["source", "audio"]).push(1, ["source", "audio"]);
    scene.connect(LADDER);
    expect(scene.offer).toEqual({ epoch: 1, renditions: ["source", "audio"] });
    scene.push(2, ["audio"]).push(3, ["audio"]);
    expect(scene.offer).toEqual({ epoch: 1, renditions: ["source", "audio"] });
    scene.push(2, ["1080p", "720p"]);
    expect(scene.offer).toEqual({ epoch: 2, renditions: LADDER });
  });

  it("lacks a rendition that does not come while the others do, until it comes", () => {
    const scene = new Scene().connect(LADDER).push(1, ["720p", "audio"]);
    expect(scene.offer?.renditions).toEqual(LADDER);
    scene.push(2, ["720p", "audio"]);
    expect(scene.offer?.renditions).toEqual(["720p", "audio"]);
    scene.push(1, ["1080p"]);
    expect(scene.offer?.renditions).toEqual(LADDER);
  });

  it("loses a dropped rung with the epoch that lacks it, and has it again when it has a segment again", () => {
    const scene = new Scene().connect(LADDER).push(1, LADDER);
    expect(scene.connect(["720p", "audio"]).offer).toEqual({ epoch: 2, renditions: ["720p", "audio"] });
    scene.push(2, ["720p", "audio"]).connect(LADDER);
    expect(scene.offer).toEqual({ epoch: 3, renditions: ["720p", "audio"] });
    scene.push(3, ["720p", "audio"]);
    expect(scene.offer?.renditions).toEqual(["720p", "audio"]);
    expect(scene.push(3, ["1080p"]).offer).toEqual({ epoch: 3, renditions: LADDER });
  });

  it("stays that of the epoch before until another encoder's renditions are there, all of them", () => {
    const scene = new Scene().connect(["source", "audio"]).push(1, ["source", "audio"]).connect(["1080p", "720p"]);
    expect(scene.offer).toEqual({ epoch: 1, renditions: ["source", "audio"] });
    expect(scene.push(2, ["720p"]).offer).toEqual({ epoch: 1, renditions: ["source", "audio"] });
    expect(scene.push(2, ["1080p"]).offer).toEqual({ epoch: 2, renditions: ["1080p", "720p"] });
  });

  it("is unchanged over a reconnect that brings the same", () => {
    const scene = new Scene().connect(LADDER).push(1, LADDER).connect(LADDER);
    expect(scene.offer).toEqual({ epoch: 2, renditions: LADDER });
  });
});
