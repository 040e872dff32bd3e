// Runs in workerd, around the built Worker: lets a bench fill D1, hear which statements an operation sends, and send the same ones without
// the Worker's code. All below `/bench/d1`.

/** What the Worker sends while somebody listens: `[sql, params]` in the order of sending, those of one batch together. */
let heard = null;
/** Statements under a name, each call of which is one batch. */
const kept = new Map();
const wrapped = new WeakMap();
const bare = Symbol("bare");
/** Values that no two rows share; each call has its own. */
const UNIQUE = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\b[0-9a-f]{64}\b|\b[0-9a-hjkmnp-tv-z]{24}\b/g;

function heardStatement(statement, sql, params) {
  return new Proxy(statement, {
    get(target, name) {
      if (name === bare) return { statement: target, sql, params };
      const value = target[name];
      if (typeof value !== "function") return value;
      return (...args) => {
        if (["all", "first", "raw", "run"].includes(name)) heard?.push([{ sql, params }]);
        const result = value.apply(target, args);
        return name === "bind" ? heardStatement(result, sql, args) : result;
      };
    },
  });
}

function heardDatabase(database) {
  return new Proxy(database, {
    get(target, name) {
      if (name === "prepare") return (sql) => heardStatement(target.prepare(sql), sql, []);
      if (name === "batch") {
        return (statements) => {
          const all = statements.map((statement) => statement[bare]);
          heard?.push(all.map(({ sql, params }) => ({ sql, params })));
          return target.batch(all.map(({ statement }) => statement));
        };
      }
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function heardEnv(env) {
  const known = wrapped.get(env);
  if (known !== undefined) return known;
  const open = { ...env, DB: heardDatabase(env.DB) };
  wrapped.set(env, open);
  return open;
}

function runBatch(database, statements) {
  return database.batch(statements.map(({ sql, params }) => database.prepare(sql).bind(...params)));
}

/** The statements as if for another row. */
function asNew(statements) {
  const names = new Map();
  const rename = (value) => {
    if (!names.has(value))
      names.set(value, value.length === 24 ? randomText(24) : value.length === 64 ? randomText(64) : crypto.randomUUID());
    return names.get(value);
  };
  return statements.map(({ sql, params }) => ({
    sql,
    params: params.map((param) => (typeof param === "string" ? param.replace(UNIQUE, rename) : param)),
  }));
}

function randomText(length) {
  return Array.from(crypto.getRandomValues(new Uint8Array(length / 2)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const routes = {
  /** `[{sql, params}]` as one batch. */
  run: async (request, database) => runBatch(database, await request.json()),
  listen: async () => {
    heard = [];
    return null;
  },
  /** What was heard since `listen`. */
  heard: async () => {
    const all = heard ?? [];
    heard = null;
    return all;
  },
  /** `{name, statements, isInsert}`, for `GET /bench/d1/kept/{name}`. */
  keep: async (request) => {
    const { name, statements, isInsert } = await request.json();
    kept.set(name, { statements, isInsert });
    return null;
  },
};

/** The Worker's default export, with the routes of a bench. */
export function wrapWorker(worker) {
  return {
    ...worker,
    async fetch(request, env, ctx) {
      const { pathname } = new URL(request.url);
      const [, name] = /^\/bench\/d1\/(?:kept\/)?([a-z_]+)$/.exec(pathname) ?? [];
      if (name === undefined) return worker.fetch(request, heard === null ? env : heardEnv(env), ctx);
      if (!pathname.includes("/kept/")) return Response.json(await routes[name](request, env.DB));
      const { statements, isInsert } = kept.get(name);
      const [first] = await runBatch(env.DB, isInsert ? asNew(statements) : statements);
      return Response.json(first.results);
    },
  };
}

/** A class that the Worker exports, as it is. */
export function wrapClass(Exported) {
  return Exported;
}
