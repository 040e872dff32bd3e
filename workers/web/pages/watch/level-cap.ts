import Hls, { type HlsConfig } from "hls.js";

type Capping = NonNullable<HlsConfig["capLevelController"]>;

const caps = new WeakMap<Hls, LevelCap>();

/** Keeps hls.js to the levels that have something to play, and to those that the picture's size asks for: it has one cap for both. */
export class LevelCap extends (Hls.DefaultConfig.capLevelController as Capping) {
  readonly #player: Hls;
  #ceiling: number | null = null;

  constructor(...args: ConstructorParameters<Capping>) {
    super(...args);
    this.#player = args[0];
    caps.set(this.#player, this);
  }

  /** The cap of a player that was configured with this class. */
  static of(player: Hls): LevelCap | undefined {
    return caps.get(player);
  }

  override getMaxLevel(index: number): number {
    return super.getMaxLevel(this.#ceiling === null ? index : Math.min(index, this.#ceiling));
  }

  /** No higher level is played from now on; null lifts it. What is buffered stays. */
  limit(ceiling: number | null): void {
    this.#ceiling = ceiling;
    // Where the picture has no size, as on a hidden page, nothing else caps.
    this.#player.autoLevelCapping = ceiling ?? -1;
    this.detectPlayerSize();
    if (ceiling === null || this.#player.loadLevel <= ceiling) return;
    if (!this.#player.autoLevelEnabled) this.#player.loadLevel = -1;
    this.#player.nextLoadLevel = this.#player.autoLevelCapping;
  }
}
