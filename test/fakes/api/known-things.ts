import type { ApiAnswer, ApiCall, PlacedOperation } from "./api-call.ts";

type Params = Record<string, string>;

/** What the API has told of: which ids there are, and where the next pages begin. */
export class KnownThings {
  /** By the path of one thing, such as `/api/v1/streams/{id}`: the parameters that lead to things. */
  readonly #things = new Map<string, Params[]>();
  readonly #cursors = new Map<string, string[]>();
  readonly #paths: readonly string[];
  readonly #keep: ReadonlySet<string>;

  /** @param keep ids that are not told of: what happens to them is the test's own business */
  constructor(operations: readonly PlacedOperation[], keep: ReadonlySet<string>) {
    this.#paths = operations.map(({ path }) => path).filter((path) => path.endsWith("}"));
    this.#keep = keep;
  }

  /** Learns what an answer tells. */
  learn(call: ApiCall, { status, text }: ApiAnswer): void {
    if (call.operation === null || status < 200 || status > 299 || text === "") return;
    const body = JSON.parse(text) as { id?: unknown; next_cursor?: unknown };
    const place = call.operation.path;
    const items = Object.values(body).filter(Array.isArray).flat() as { id?: unknown }[];
    for (const { id } of [body, ...items]) if (typeof id === "string") this.#add(place, call.params, id);
    if (typeof body.next_cursor === "string") this.#cursors.set(place, [...(this.#cursors.get(place) ?? []), body.next_cursor].slice(-20));
  }

  /** Parameters that lead to a thing which is there, or was; those of the newest things last. */
  paramsOf(path: string): Params[] {
    // What stands below a thing is led to by it: `/api/v1/streams/{id}/keys` by `/api/v1/streams/{id}`.
    return this.#things.get(path.slice(0, path.lastIndexOf("}") + 1)) ?? [];
  }

  cursorsOf(path: string): string[] {
    return this.#cursors.get(path) ?? [];
  }

  #add(collection: string, params: Params, id: string): void {
    if (this.#keep.has(id)) return;
    // `POST /api/v1/accounts/{account_id}/api-keys` makes things that stand elsewhere: those have no path here.
    const place = this.#paths.find((path) => new RegExp(`^${escaped(collection)}/\\{\\w+\\}$`).test(path));
    const name = place?.match(/\{(\w+)\}$/)?.[1];
    if (place === undefined || name === undefined) return;
    const known = this.#things.get(place) ?? [];
    if (known.some((own) => own[name] === id)) return;
    this.#things.set(place, [...known, { ...params, [name]: id }].slice(-30));
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
