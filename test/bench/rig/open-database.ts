import { setTimeout as sleep } from "node:timers/promises";
import type { Edge } from "./edge.ts";

/** One statement for D1, with what it binds. */
export interface Statement {
  sql: string;
  params: (string | number | null)[];
}

interface Result {
  results: Record<string, unknown>[];
  meta: { rows_read?: number };
}

/** How D1 goes about a statement. */
export interface QueryPlan {
  sql: string;
  /** As `EXPLAIN QUERY PLAN` words them. */
  steps: string[];
}

const SETTLE_MS = 250;
const SETTLE_TRIES = 240;

/** A plan's step that reads every row of a table; what json_each and constants make is none. */
const TABLE_SCAN = /^SCAN (?!json_each\b|CONSTANT ROW|\d+ CONSTANT ROWS?|\(|.*VIRTUAL TABLE)/;

/** D1 of an edge that was started with the wrapper `open-d1`. Every method rejects where D1 does not take a statement. */
export class OpenDatabase {
  readonly #edge: Edge;

  constructor(edge: Edge) {
    this.#edge = edge;
  }

  /** Runs statements as one batch. */
  run(statements: Statement[]): Promise<Result[]> {
    return this.#ask("run", statements) as Promise<Result[]>;
  }

  /** The batches that the Worker sends while `act` runs; a statement on its own is a batch of one. */
  async hear(act: () => Promise<unknown>): Promise<Statement[][]> {
    await this.#ask("listen", null);
    await act();
    return (await this.#ask("heard", null)) as Statement[][];
  }

  /** Has a batch of statements run on each `GET` of the path that is the answer; of an insertion each time with new ids and digests. */
  async keep(name: string, statements: Statement[], isInsert: boolean): Promise<string> {
    await this.#ask("keep", { name, statements, isInsert });
    return `/bench/d1/kept/${name}`;
  }

  /** The plans of statements. Throws where one reads a whole table. */
  async explain(statements: Statement[]): Promise<QueryPlan[]> {
    const results = await this.run(statements.map(({ sql, params }) => ({ sql: `EXPLAIN QUERY PLAN ${sql}`, params })));
    const plans = statements.map(({ sql }, at) => ({ sql, steps: (results[at]?.results ?? []).map(({ detail }) => String(detail)) }));
    const scanning = plans.find(({ steps }) => steps.some((step) => TABLE_SCAN.test(step)));
    if (scanning !== undefined) throw new Error(`a query reads a whole table: ${scanning.sql}\n  ${scanning.steps.join("\n  ")}`);
    return plans;
  }

  /** How many rows D1 reads for a statement. */
  async countRowsRead(statement: Statement): Promise<number> {
    const [result] = await this.run([statement]);
    return result?.meta.rows_read ?? 0;
  }

  /** Waits until all events of what was changed are recorded: that is work, too. Rejects where it takes longer than a minute. */
  async settle(): Promise<void> {
    const sql = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM aggregates WHERE recorded < issued) AS open";
    for (let tries = 0; tries < SETTLE_TRIES; tries++) {
      const [result] = await this.run([{ sql, params: [] }]);
      if (result?.results[0]?.open === 0) return;
      await sleep(SETTLE_MS);
    }
    throw new Error("the events of what was changed were not recorded in time");
  }

  async #ask(path: string, body: unknown): Promise<unknown> {
    const answer = await fetch(`${this.#edge.site}/bench/d1/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
    if (!answer.ok) throw new Error(`D1 was asked to ${path}, and failed: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}
