import { type Context, Hono } from "hono";
import { Streams } from "../store/streams.ts";
import { streamIdsOf } from "../store/tokens.ts";
import type { Surface } from "../surface.ts";

const SECURITY_HEADERS = {
  "Content-Security-Policy":
    "default-src 'self'; media-src 'self' blob:; connect-src 'self' ws: wss:; img-src 'self' data:; worker-src 'self' blob:; " +
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "strict-origin-when-cross-origin",
};

/** The pages, from the built assets. */
export const web = new Hono<Surface>();

web.get("/", (c) => page(c, "/index.html", 200));

web.get("/docs", async (c) => {
  const answer = await page(c, "/docs.html", 200);
  // It takes keys: nobody may frame it.
  answer.headers.set("Content-Security-Policy", `${SECURITY_HEADERS["Content-Security-Policy"]}; frame-ancestors 'none'`);
  return answer;
});

web.get("/watch/:id", async (c) => {
  const id = await streamIdsOf(c.env).parse(c.req.param("id"));
  if (id === null) return page(c, "/404.html", 404);
  // The page works without its title: a database that is away is no reason not to watch.
  const facts = await new Streams(c.env.DB).findPublicFacts(id).catch(() => null);
  const answer = await page(c, "/watch.html", 200);
  if (facts === null) return answer;
  return new HTMLRewriter()
    .on("title", { element: (element) => void element.setInnerContent(`${facts.title} · Nova Edge`) })
    .on('meta[property="og:title"]', { element: (element) => void element.setAttribute("content", facts.title) })
    .on('meta[name="description"]', { element: (element) => void element.setAttribute("content", facts.description || facts.title) })
    .transform(answer);
});

web.get("/assets/*", (c) => asset(c, "public, max-age=31536000, immutable")); // file names carry a hash of what is in them
web.get("/client/stream-socket.js", (c) => publicFile(c, "text/javascript; charset=utf-8"));
web.get("/client/stream-socket.d.ts", (c) => publicFile(c, "text/plain; charset=utf-8"));
web.get("/openapi.json", (c) => publicFile(c, "application/json"));
web.get("/openapi.yaml", (c) => publicFile(c, "application/yaml"));
web.get("/icon.svg", (c) => asset(c, "public, max-age=3600"));

/** An address that nothing answers to: a page for people, the error body for programs. */
export function answerNotFound(c: Context<Surface>): Response | Promise<Response> {
  if (c.req.header("Accept")?.includes("text/html")) return page(c, "/404.html", 404);
  const request_id = c.get("requestId");
  return c.json({ error: "not_found", message: "nothing lives at this address", request_id }, 404, {
    "Cache-Control": "no-store",
    "X-Request-Id": request_id,
  });
}

async function page(c: Context<Surface>, path: string, status: number): Promise<Response> {
  // Assets are served without `.html` at the end; the asset router redirects otherwise.
  const asset = await c.env.ASSETS.fetch(new URL(path.replace(/(index)?\.html$/, ""), c.req.url));
  return new Response(asset.body, {
    status: asset.ok ? status : 503,
    headers: { "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", ...SECURITY_HEADERS },
  });
}

async function asset(c: Context<Surface>, cacheControl: string): Promise<Response> {
  const answer = await c.env.ASSETS.fetch(c.req.raw);
  if (answer.status >= 400) return page(c, "/404.html", 404);
  const headers = new Headers(answer.headers);
  headers.set("Cache-Control", cacheControl);
  headers.set("X-Content-Type-Options", "nosniff");
  return new Response(answer.body, { status: answer.status, headers });
}

/** What others load, too: the client of the stream's socket, the API's document. */
async function publicFile(c: Context<Surface>, contentType: string): Promise<Response> {
  const answer = await asset(c, "public, max-age=300");
  if (!answer.ok) return answer;
  answer.headers.set("Content-Type", contentType);
  answer.headers.set("Access-Control-Allow-Origin", "*");
  return answer;
}
