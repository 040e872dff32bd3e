import { type MockInstance, vi } from "vitest";

/** What somebody's server was sent. */
export interface Received {
  url: string;
  headers: Headers;
  body: string;
}

/** How a server answers; never where its promise does not settle. */
type Server = (received: Received) => Response | Promise<Response>;

const RESOLVER = "https://cloudflare-dns.com/dns-query?";

/** An internet for the code under test, in the place of `fetch`: a resolver, and servers by host. */
export class Internet {
  /** What names stand for. Another name does not exist; a number is the resolver's code. */
  readonly names: Record<string, string[] | number> = { "hooks.example.com": ["93.184.215.14", "2606:2800:21f:cb07::1"] };
  /** Who answers at a host, "host:port" where there is one. */
  readonly servers: Record<string, Server> = { "hooks.example.com": () => new Response("thanks") };
  readonly received: Received[] = [];
  /** How often the resolver was asked. */
  lookups = 0;
  isResolverUp = true;
  readonly #spy: MockInstance<typeof fetch>;

  constructor() {
    this.#spy = vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => this.#answer(new Request(input, init)));
  }

  /** What was sent for a webhook or a delivery, by a header. */
  receivedWith(header: string, value: string): Received[] {
    return this.received.filter(({ headers }) => headers.get(header) === value);
  }

  restore(): void {
    this.#spy.mockRestore();
  }

  async #answer(request: Request): Promise<Response> {
    if (request.url.startsWith(RESOLVER)) return this.#resolve(new URL(request.url).searchParams);
    const { host } = new URL(request.url);
    const server = this.servers[host];
    const received = { url: request.url, headers: request.headers, body: await request.text() };
    this.received.push(received);
    if (server === undefined || request.redirect !== "manual") throw new TypeError("Network connection lost.");
    const gone = new Promise<never>((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
    return Promise.race([server(received), gone]);
  }

  #resolve(query: URLSearchParams): Response {
    this.lookups += 1;
    if (!this.isResolverUp) return new Response("busy", { status: 502 });
    const known = this.names[query.get("name") ?? ""] ?? 3;
    if (typeof known === "number") return Response.json({ Status: known });
    const isV4 = query.get("type") === "A";
    const own = known.filter((data) => data.includes(":") !== isV4).map((data) => ({ name: "x", type: isV4 ? 1 : 28, TTL: 60, data }));
    // Resolvers name the aliases on the way, too.
    return Response.json({ Status: 0, Answer: [{ name: "x", type: 5, TTL: 60, data: "alias.example.net." }, ...own] });
  }
}

/** HMAC-SHA-256 in hex, as a receiver computes it. */
export async function hmacHex(secret: string, text: string): Promise<string> {
  const bytes = (of: string) => new TextEncoder().encode(of);
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return Array.from(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(text))), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}
