import { Hono } from "hono";
import { api } from "./api/app.ts";
import { health } from "./api/health.ts";
import { playbackTokens } from "./api/playback-tokens.ts";
import { beacon } from "./audience/beacon.ts";
import { metadata } from "./audience/metadata.ts";
import { viewers } from "./audience/viewers.ts";
import { events } from "./events/socket.ts";
import { originLink } from "./origin-link/routes.ts";
import { playback } from "./playback/routes.ts";
import { answerError, type Surface } from "./surface.ts";
import { answerNotFound, web } from "./web/routes.ts";

export { AudienceShard } from "../durable-objects/audience-shard/audience-shard.ts";
export { LiveStream } from "../durable-objects/live-stream/live-stream.ts";
export { Media } from "./playback/media.ts";

const app = new Hono<Surface>();
app.use(async (c, next) => {
  const ray = c.req.header("cf-ray") ?? "";
  c.set("requestId", /^[0-9a-f]{16}(-[A-Z]{3})?$/.test(ray) ? ray : crypto.randomUUID());
  await next();
});
app.notFound(answerNotFound);
app.onError((error, c) => answerError(error, c));
app.route("/origin/v1", originLink);
app.route("/api/v1", events);
app.route("/api/v1", beacon);
app.route("/api/v1", viewers);
app.route("/api/v1", metadata);
app.route("/api/v1", playbackTokens);
app.route("/api/v1", api);
app.route("/", playback);
app.route("/", health);
app.route("/", web);

export default app satisfies ExportedHandler<Env>;
