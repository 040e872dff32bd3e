import { HttpConnection, type Reply } from "./http-connection.ts";

/** What viewers' requests came to, as far as they were answered. */
export interface Tally {
  requests: number;
  /** Calls of the stream's object, and reads of R2, that answers of the edge's isolate cost. */
  objectCalls: number;
  r2Reads: number;
  bytes: number;
  reloads: number;
  /** Reloads that need not wait, for the playlist was there: the viewer had fallen behind. */
  late: number;
  /** Answers other than 200, connections that broke, and answers that do not say what they cost. */
  failures: number;
  firstFailure: string | null;
}

/** A tally of nothing yet. */
export function emptyTally(): Tally {
  return { requests: 0, objectCalls: 0, r2Reads: 0, bytes: 0, late: 0, reloads: 0, failures: 0, firstFailure: null };
}

/** Where something lies in a stream: a part, or a segment where `part` is null. */
interface Place {
  msn: number;
  part: number | null;
  path: string;
}

const MEDIA_LINE = /^(?:#EXT-X-PART:.*URI="([^"]+)".*|([^#\s].*))$/gm;
const MEDIA_FILE = /-(\d+)(?:\.(\d+))?\.m4s$/;
const HIT = "nova-isolate; hit";
/** Only what missed, and was not folded into a call under way, cost anything. */
const COST = /^nova-isolate; (?:hit$|fwd=miss; collapsed;|fwd=(miss); detail=([a-z0-9-]+)$)/;
/** Parts, or segments, that a joining player begins with: it stays three behind the newest. */
const MEDIA_AT_JOIN = 3;

/**
 * A player without a screen: the multivariant playlist once, then of each rendition the init segment, and by a blocking reload after
 * another every new part (in `standard` latency every new segment), once. A connection for each rendition.
 */
export class Viewer {
  readonly #site: string;
  readonly #tally: Tally;
  readonly #connections: HttpConnection[] = [];
  #left = false;

  constructor(site: string, tally: Tally) {
    this.#site = site;
    this.#tally = tally;
  }

  /** Watches until `leave`; whatever fails is in the tally, and ends it. */
  async watch(multivariant: string): Promise<void> {
    try {
      const connection = this.#connect();
      const text = (await this.#get(connection, multivariant)).body.toString("latin1");
      const uris = [...text.matchAll(/^#EXT-X-MEDIA:.*URI="([^"]+)"/gm), ...text.matchAll(/^([^#\s].*)$/gm)].map((match) => match[1] ?? "");
      await Promise.all(
        uris.map((uri, index) => this.#follow(index === 0 ? connection : this.#connect(), this.#resolve(uri, multivariant))),
      );
    } catch (error) {
      if (this.#left) return;
      this.#tally.failures += 1;
      this.#tally.firstFailure ??= error instanceof Error ? error.message : String(error);
      this.leave();
    }
  }

  /** Closes its connections. */
  leave(): void {
    this.#left = true;
    for (const connection of this.#connections) connection.close();
  }

  /** One rendition. */
  async #follow(connection: HttpConnection, playlist: string): Promise<never> {
    const first = (await this.#get(connection, playlist)).body.toString("latin1");
    const init = /#EXT-X-MAP:URI="([^"]+)"/.exec(first)?.[1];
    if (init === undefined) throw new Error(`${playlist} has no init segment`);
    await this.#get(connection, this.#resolve(init, playlist));
    const listed = listMedia(first);
    const parts = listed.filter(({ part }) => part !== null);
    let news = (parts.length > 0 ? parts : listed).slice(-MEDIA_AT_JOIN);
    for (;;) {
      for (const { path } of news) await this.#get(connection, this.#resolve(path, playlist));
      const last = news.at(-1);
      if (last === undefined) throw new Error(`${playlist} brought nothing new`);
      const { query, isNews } = nextReload(last);
      const { body, cacheStatus } = await this.#get(connection, playlist + query);
      news = listMedia(body.toString("latin1")).filter(isNews);
      this.#tally.reloads += 1;
      if (cacheStatus === HIT || news.length > 1) this.#tally.late += 1;
    }
  }

  #connect(): HttpConnection {
    const connection = new HttpConnection(this.#site);
    this.#connections.push(connection);
    return connection;
  }

  /** Throws for all that is not 200, and for an answer that does not say what it cost. */
  async #get(connection: HttpConnection, path: string): Promise<Reply> {
    const reply = await connection.get(path);
    this.#tally.requests += 1;
    this.#tally.bytes += reply.body.length;
    if (reply.status !== 200) throw new Error(`${path} answered ${reply.status}`);
    const cost = COST.exec(reply.cacheStatus);
    if (cost === null) throw new Error(`${path} does not say what it cost: Cache-Status is "${reply.cacheStatus}"`);
    const [, missed, from = ""] = cost;
    if (missed !== undefined && from.includes("object")) this.#tally.objectCalls += 1;
    if (missed !== undefined && from.includes("r2")) this.#tally.r2Reads += 1;
    return reply;
  }

  #resolve(uri: string, base: string): string {
    return new URL(uri, this.#site + base).pathname;
  }
}

/** Parts and segments in a playlist, in its order. */
function listMedia(text: string): Place[] {
  const places: Place[] = [];
  for (const [, part, segment] of text.matchAll(MEDIA_LINE)) {
    const path = part ?? segment ?? "";
    const file = MEDIA_FILE.exec(path);
    if (file !== null) places.push({ path, msn: Number(file[1]), part: file[2] === undefined ? null : Number(file[2]) });
  }
  return places;
}

/** The reload after what is known by now, and what of its answer is new. A part past its segment's end is the next one's first. */
function nextReload(last: Place): { query: string; isNews(place: Place): boolean } {
  const { msn, part } = last;
  if (part === null) return { query: `?_HLS_msn=${msn + 1}&_HLS_skip=YES`, isNews: (place) => place.part === null && place.msn > msn };
  return {
    query: `?_HLS_msn=${msn}&_HLS_part=${part + 1}&_HLS_skip=YES`,
    isNews: (place) => place.part !== null && (place.msn > msn || (place.msn === msn && place.part > part)),
  };
}
