// Runs in workerd, around the built Worker: counts what it asks of D1, apart for whoever opens sockets and for everything else.

const counts = { sockets: { reads: 0, writes: 0 }, others: { reads: 0, writes: 0 } };
/** An environment is wrapped once for each purpose: the Worker keeps what it knows by it. */
const wrapped = { sockets: new WeakMap(), others: new WeakMap() };
const bare = Symbol("bare");

/** @param {{ reads: number, writes: number }} count */
function countQuery(count, sql) {
  if (/^\s*(?:select|with|pragma)\b/i.test(sql)) count.reads += 1;
  else count.writes += 1;
}

function countedStatement(statement, sql, count) {
  return new Proxy(statement, {
    get(target, name) {
      if (name === bare) return { statement: target, sql };
      const value = target[name];
      if (typeof value !== "function") return value;
      return (...args) => {
        if (["all", "first", "raw", "run"].includes(name)) countQuery(count, sql);
        const result = value.apply(target, args);
        return name === "bind" ? countedStatement(result, sql, count) : result;
      };
    },
  });
}

function countedDatabase(database, count) {
  return new Proxy(database, {
    get(target, name) {
      if (name === "prepare") return (sql) => countedStatement(target.prepare(sql), sql, count);
      if (name === "batch") {
        return (statements) => {
          const all = statements.map((statement) => statement[bare]);
          for (const { sql } of all) countQuery(count, sql);
          return target.batch(all.map(({ statement }) => statement));
        };
      }
      if (name === "exec") {
        return (sql) => {
          countQuery(count, sql);
          return target.exec(sql);
        };
      }
      if (name === "withSession") return (...args) => countedDatabase(target.withSession(...args), count);
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** @param {"sockets" | "others"} purpose */
function countedEnv(env, purpose) {
  const known = wrapped[purpose].get(env);
  if (known !== undefined) return known;
  const counted = { ...env, DB: countedDatabase(env.DB, counts[purpose]) };
  wrapped[purpose].set(env, counted);
  return counted;
}

/** The Worker's default export, with the counts so far at `GET /bench/d1`. */
export function wrapWorker(worker) {
  return {
    ...worker,
    fetch(request, env, ctx) {
      const { pathname } = new URL(request.url);
      if (pathname === "/bench/d1") return Response.json(counts);
      return worker.fetch(request, countedEnv(env, /^\/api\/v1\/streams\/[^/]+\/ws$/.test(pathname) ? "sockets" : "others"), ctx);
    },
  };
}

/** A class that the Worker exports: what its objects ask counts as asked for sockets. */
export function wrapClass(Exported) {
  return class extends Exported {
    constructor(ctx, env) {
      super(ctx, countedEnv(env, "sockets"));
    }
  };
}
