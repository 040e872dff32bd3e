import { SingleFlight } from "./single-flight.ts";

/** What fills the cache: whole, 200, the same for every viewer, with an explicit lifetime. */
export interface Fill {
  body: Uint8Array<ArrayBuffer>;
  type: string;
  cacheControl: string;
  etag: string;
  /** What it cost: calls of the stream's object, reads of R2. */
  from: readonly ("object" | "r2")[];
  /** How long this isolate may give it out again, ms. */
  freshMs: number;
  /** It is of something live, and asked for again and again by whoever watches. */
  isWatched?: boolean;
}

/** How a fill was come by, for `Cache-Status` (rfc9211): out of memory, from a call under way, or by a call of its own. */
export type FillStatus = "hit" | "collapsed" | "miss";

/** An isolate has 128 MB, and the runtime shares it between requests. */
const MAX_BYTES = 16 << 20;

/**
 * The isolate's own cache: folds equal calls under way into one, and gives out what is fresh again, so that an audience that comes within
 * moments costs one call.
 */
export class FillCache {
  readonly #flights = new SingleFlight<Fill>();
  /** Oldest first. */
  readonly #fresh = new Map<string, { fill: Fill; until: number }>();
  #bytes = 0;

  /** The fill of a key. `keepAlive` lets a call end though the request that began it is gone. Rejects as `make` does; failures are not kept. */
  async run(
    key: string,
    make: () => Promise<Fill>,
    keepAlive: (call: Promise<unknown>) => void,
  ): Promise<{ fill: Fill; status: FillStatus }> {
    const kept = this.#fresh.get(key);
    if (kept !== undefined && kept.until > Date.now()) return { fill: kept.fill, status: "hit" };
    let status: FillStatus = "collapsed";
    const call = async () => {
      status = "miss";
      const fill = await make();
      this.#keep(key, fill);
      return fill;
    };
    const fill = await this.#flights.run(key, call, keepAlive);
    return { fill, status };
  }

  #keep(key: string, fill: Fill): void {
    this.#drop(key);
    if (fill.freshMs <= 0 || fill.body.length > MAX_BYTES / 4) return;
    this.#fresh.set(key, { fill, until: Date.now() + fill.freshMs });
    this.#bytes += fill.body.length;
    for (const [oldest] of this.#fresh) {
      if (this.#bytes <= MAX_BYTES) break;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#fresh.get(key)?.fill.body.length ?? 0;
    this.#fresh.delete(key);
  }
}
