import { env } from "cloudflare:workers";

/** How D1 goes about a statement. */
export interface QueryPlan {
  sql: string;
  /** As `EXPLAIN QUERY PLAN` words them. */
  steps: string[];
}

type Prepare = (this: D1Database, sql: string) => D1PreparedStatement;

/** All databases of the isolate share it: what the Worker and its objects prepare passes here too. */
const shared = Object.getPrototypeOf(env.DB) as { prepare: Prepare };
const prepare = shared.prepare;

/** The statements that are sent to D1 while `act` runs, each once, by whomever in this isolate. */
export async function hearQueries(act: () => Promise<unknown>): Promise<string[]> {
  const heard = new Set<string>();
  shared.prepare = function (sql) {
    heard.add(sql);
    return prepare.call(this, sql);
  };
  try {
    await act();
  } finally {
    shared.prepare = prepare;
  }
  return [...heard];
}

/** The plan of a statement. What it binds is of no account: D1 keeps no statistics of values. */
export async function explain(sql: string): Promise<QueryPlan> {
  const places = [...sql.matchAll(/\?(\d*)/g)];
  const count = Math.max(0, ...places.map(([, number], at) => (number === "" ? at + 1 : Number(number))));
  const { results } = await prepare
    .call(env.DB, `EXPLAIN QUERY PLAN ${sql}`)
    .bind(...Array.from({ length: count }, () => null))
    .all<{ detail: string }>();
  return { sql, steps: results.map(({ detail }) => detail) };
}
