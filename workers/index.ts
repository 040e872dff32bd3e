import { Hono, type MiddlewareHandler } from "hono";
import { api } from "./api/app.ts";
import { apiHeaders } from "./api/headers.ts";
import { health } from "./api/health.ts";
import { answerUnknown, KnownMethods } from "./api/known-methods.ts";
import { beacon } from "./audience/beacon.ts";
import { consumeEvents } from "./audit/consumer.ts";
import { runUpkeep } from "./audit/upkeep.ts";
import { events } from "./events/socket.ts";
import { originLink } from "./origin-link/routes.ts";
import { playback } from "./playback/routes.ts";
import { answerError, type Surface } from "./surface.ts";
import { answerNotFound, web } from "./web/routes.ts";
import { consumeDeliveries } from "./webhooks/deliver.ts";

export { AudienceShard } from "../durable-objects/audience-shard/audience-shard.ts";
export { LiveStream } from "../durable-objects/live-stream/live-stream.ts";
export { Media } from "./playback/media.ts";

const nameRequest: MiddlewareHandler<Surface> = async (c, next) => {
  const ray = c.req.header("cf-ray") ?? "";
  c.set("requestId", /^[0-9a-f]{16}(-[A-Z]{3})?$/.test(ray) ? ray : crypto.randomUUID());
  await next();
};

const app = new Hono<Surface>();
app.use(nameRequest);
for (const path of ["/api/v1/*", "/health", "/ready"]) app.use(path, apiHeaders);
app.notFound((c) => answerUnknown(c, knownMethods) ?? answerNotFound(c));
app.onError((error, c) => answerError(error, c));
app.route("/origin/v1", originLink);
app.route("/api/v1", events);
app.route("/api/v1", beacon);
app.route("/api/v1", api);
app.route("/", playback);
app.route("/", health);
app.route("/", web);
const knownMethods = new KnownMethods(app.routes);

/** Most of what an edge is asked comes from origins: they are not looked up among all the other routes. */
const origins = new Hono<Surface>();
origins.use(nameRequest);
origins.notFound((c) => answerUnknown(c, knownMethods) ?? answerNotFound(c));
origins.onError((error, c) => answerError(error, c));
origins.route("/origin/v1", originLink);

export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) =>
    (new URL(request.url).pathname.startsWith("/origin/v1/") ? origins : app).fetch(request, env, ctx),
  queue: (batch, env) => (batch.queue === "nova-edge-deliveries" ? consumeDeliveries(batch, env) : consumeEvents(batch, env)),
  scheduled: (_controller, env) => runUpkeep(env, Date.now()),
} satisfies ExportedHandler<Env>;
