/** One coded frame of one track; times in ticks of the track's timescale. */
export interface Sample {
  dts: number;
  duration: number;
  /** Presentation time minus decode time; may be negative. */
  compositionOffset: number;
  /** Decodable on its own: an IDR in video, every frame in audio. */
  key: boolean;
  /** Decoding can begin here and comes right within a few frames, though it is no IDR: an open GOP's I-frame. */
  recovery?: boolean;
  data: Uint8Array;
}
