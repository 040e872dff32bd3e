import { beacon } from "../audience/beacon.ts";
import { events } from "../events/socket.ts";
import { describeSocket, SOCKET_CLOSE_CODES, socketMessages } from "../events/socket-messages.ts";
import { api } from "./app.ts";
import { finishDocument } from "./document/finish.ts";
import type { OpenApiObject } from "./document/openapi-object.ts";
import { PROSE, TAGS } from "./document/prose.ts";
import { health } from "./health.ts";
import { createRouter } from "./router.ts";
import { VERSION } from "./version.ts";

let made: OpenApiObject | null = null;

/** The OpenAPI document of all that is mounted, made once. */
export function apiDocument(): OpenApiObject {
  made ??= describeApi();
  return made;
}

function describeApi(): OpenApiObject {
  const whole = createRouter().route("/api/v1", api).route("/api/v1", beacon).route("/api/v1", events).route("/", health);
  whole.openAPIRegistry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
    description: "An API key, or a JWT of the issuer that the deployment trusts",
  });
  const document = whole.getOpenAPIDocument({
    openapi: "3.0.3",
    info: {
      title: "Nova Edge streaming API",
      version: VERSION,
      description: PROSE,
      license: { name: "UNLICENSED" },
    },
    servers: [{ url: "/", description: "This deployment" }],
    tags: TAGS,
  });
  const openSocket = {
    description: describeSocket(),
    "x-websocket-messages": socketMessages(),
    "x-websocket-close-codes": SOCKET_CLOSE_CODES,
  };
  return finishDocument(document, { openSocket });
}
