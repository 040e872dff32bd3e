import { BoxSplitter } from "../package/boxes.ts";
import { parseFragment } from "../package/fragment.ts";
import { type AudioInit, parseInit, type VideoInit } from "../package/init.ts";
import { isIdr } from "../package/nal.ts";
import type { Sample } from "../package/sample.ts";

/** One output of FFmpeg, from its bytes to samples on the connection's clock. Every FFmpeg has outputs of its own. */
export class RenditionOutput {
  readonly #splitter = new BoxSplitter();
  readonly #baseMs: number;
  #init: VideoInit | AudioInit | null = null;
  #moof: Buffer | null = null;

  /** `baseMs` is the connection's time at FFmpeg's zero, whole seconds. */
  constructor(baseMs: number) {
    this.#baseMs = baseMs;
  }

  /** Null until its bytes have come. */
  get init(): VideoInit | AudioInit | null {
    return this.#init;
  }

  /** The samples that `bytes` completed. Throws where they are not what FFmpeg was asked for. */
  push(bytes: Buffer): Sample[] {
    const samples: Sample[] = [];
    for (const box of this.#splitter.push(bytes)) {
      if (box.type === "moov") this.#init = parseInit(box.bytes);
      else if (box.type === "moof") this.#moof = box.bytes;
      else if (box.type === "mdat") {
        if (this.#init === null || this.#moof === null) throw new Error("media came before its header");
        for (const sample of parseFragment(this.#moof, box.bytes)) samples.push(this.#place(sample, this.#init));
        this.#moof = null;
      }
    }
    return samples;
  }

  #place(sample: Sample, init: VideoInit | AudioInit): Sample {
    const dts = sample.dts + (this.#baseMs / 1000) * init.timescale;
    return { ...sample, dts, key: init.kind === "audio" || isIdr(sample.data, init.lengthSize) };
  }
}
