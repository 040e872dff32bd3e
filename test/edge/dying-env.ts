import { env } from "cloudflare:workers";

/** The bindings that the events go through. */
export type EventsEnv = Pick<Env, "DB" | "MEDIA" | "EVENTS" | "DELIVERIES">;

/** A queue that keeps what is sent. */
export class HeldQueue {
  readonly sent: unknown[] = [];

  async send(body: unknown): Promise<void> {
    this.sent.push(body);
  }

  async sendBatch(messages: Iterable<{ body: unknown }>): Promise<void> {
    for (const { body } of messages) this.sent.push(body);
  }
}

/** The test's own bindings, used by a process that is killed at its n-th step outside itself: before the step has an effect, or after. */
export class DyingProcess {
  readonly events: HeldQueue;
  readonly deliveries: HeldQueue;
  readonly env: EventsEnv;
  readonly #killAt: number;
  readonly #mode: "before" | "after";
  #steps = 0;
  dead = false;

  /** `killAt` counts from 1; infinity for one that lives. */
  constructor(killAt: number, mode: "before" | "after", queues: { events: HeldQueue; deliveries: HeldQueue }) {
    this.#killAt = killAt;
    this.#mode = mode;
    this.events = queues.events;
    this.deliveries = queues.deliveries;
    this.env = {
      DB: this.#database(env.DB) as D1Database,
      MEDIA: this.#bucket(env.MEDIA) as R2Bucket,
      EVENTS: this.#queue(this.events) as unknown as Queue,
      DELIVERIES: this.#queue(this.deliveries) as unknown as Queue,
    };
  }

  async #step<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.dead) throw new Error("dead");
    this.#steps += 1;
    const isLast = this.#steps === this.#killAt;
    if (isLast) this.dead = true;
    if (isLast && this.#mode === "before") throw new Error("killed before");
    const result = await run();
    if (isLast) throw new Error("killed after");
    return result;
  }

  #database(db: D1Database): Partial<D1Database> {
    const inner = new Map<unknown, D1PreparedStatement>();
    const wrap = (statement: D1PreparedStatement): D1PreparedStatement => {
      const wrapped = {
        bind: (...values: unknown[]) => wrap(statement.bind(...values)),
        run: () => this.#step(() => statement.run()),
        all: () => this.#step(() => statement.all()),
        first: () => this.#step(() => statement.first()),
      } as unknown as D1PreparedStatement;
      inner.set(wrapped, statement);
      return wrapped;
    };
    return {
      prepare: (sql) => wrap(db.prepare(sql)),
      batch: (statements) => this.#step(() => db.batch(statements.map((own) => inner.get(own) as D1PreparedStatement))),
    };
  }

  #bucket(bucket: R2Bucket): Partial<R2Bucket> {
    const put = (...args: Parameters<R2Bucket["put"]>) => this.#step(() => bucket.put(...args));
    return { put: put as R2Bucket["put"], get: ((key: string) => this.#step(() => bucket.get(key))) as R2Bucket["get"] };
  }

  #queue(queue: HeldQueue) {
    return {
      send: (body: unknown) => this.#step(() => queue.send(body)),
      sendBatch: (messages: Iterable<{ body: unknown }>) => this.#step(() => queue.sendBatch(messages)),
    };
  }
}
