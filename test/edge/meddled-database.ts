import { env } from "cloudflare:workers";

/** A database in which something else happens between what a request reads and the batch that it writes, each time. */
export function meddledDatabase(meddle: () => Promise<unknown>): D1Database {
  const batch = async <Row>(statements: D1PreparedStatement[]): Promise<D1Result<Row>[]> => {
    await meddle();
    return env.DB.batch<Row>(statements);
  };
  return { prepare: (query: string) => env.DB.prepare(query), batch } as unknown as D1Database;
}
