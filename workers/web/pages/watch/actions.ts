/** What a viewer can do on a watch page. */
export interface WatchActions {
  /** Turns the sound on. */
  unmute(): void;
  /** Goes on after a pause. */
  play(): void;
  goLive(): void;
  /** Plays the recording. */
  replay(): void;
  /** To `at` seconds behind live, or from the start of what is over. */
  seek(at: number): void;
  /** By some seconds, back where negative. */
  seekBy(seconds: number): void;
  /** By the index that the player gave it; null lets the player choose. */
  chooseQuality(index: number | null): void;
  /** Watches here, after another place took over. */
  takeBack(): void;
}
