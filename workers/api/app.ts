import { metadata } from "../audience/metadata.ts";
import { viewers } from "../audience/viewers.ts";
import { relayAfterChange } from "../audit/relay.ts";
import { accounts } from "./accounts.ts";
import { apiKeys } from "./api-keys.ts";
import { auditEvents } from "./audit-events.ts";
import { metrics } from "./metrics.ts";
import { playbackTokens } from "./playback-tokens.ts";
import { createRouter } from "./router.ts";
import { streamKeys } from "./stream-keys.ts";
import { streams } from "./streams.ts";
import { webhookDeliveries } from "./webhook-deliveries.ts";
import { webhooks } from "./webhooks.ts";

/** The control plane, below `/api/v1`. */
export const api = createRouter();
api.use(relayAfterChange);

/** The same, with its operations: those that the document of the API describes. */
export const operations = api
  .route("/", streams)
  .route("/", metrics)
  .route("/", streamKeys)
  .route("/", auditEvents)
  .route("/", playbackTokens)
  .route("/", viewers)
  .route("/", metadata)
  .route("/", webhooks)
  .route("/", webhookDeliveries)
  .route("/", accounts)
  .route("/", apiKeys);
