// Written by `npm run openapi` from the API's document: change the schemas, not this.
import type { Endpoint, WithRefusals } from "./endpoint.ts";

export type Account = { id: string; name: string; created_at: string };
export type AccountList = { accounts: Account[]; next_cursor: string | null };
export type Alive = { status: "ok" };
export type Analytics = { broadcast: number | null; status: "pending" | "active" | "reconnecting" | "completed" | "error" | null; started_at: string | null; ended_at: string | null; end_reason: string | null; health: { score: number; grade: "good" | "fair" | "poor"; reasons: ({ code: FindingCode; severity: "info" | "warning" | "critical"; points: number; message: string })[] } | null; totals: { duration_seconds: number; live_seconds: number; viewer_seconds: number; sessions: number; ingress_bytes: number; egress_bytes: number; dropped_frames: number; stalls: number; stalls_per_viewer_hour: number | null; reconnects: number; errors: number; health_seconds: { good: number; fair: number; poor: number } } | null; averages: { viewers: number; pull: number; ingress_kbps: number; ingress_variation: number | null; egress_kbps: number; fps: number; keyframe_interval: number | null; keyframe_interval_max: number | null; speed: number } | null; peaks: { viewers: { value: number; at: string }; ingress_kbps: { value: number; at: string } } | null; quality: { rendition: string; share: number; viewer_seconds: number }[]; trends: { compared_with: number[]; viewers_average: Trend; viewers_peak: Trend; duration_seconds: Trend; health_score: Trend; stalls_per_viewer_hour: Trend } | null; recommendations: { code: FindingCode; message: string }[] };
export type ApiKey = { id: string; name: string; prefix: string; scopes: Scope[]; status: "valid" | "expired" | "revoked"; created_at: string; expires_at: string | null; last_used_at: string | null; revoked_at: string | null; replaced_by: string | null };
export type ApiKeyList = { keys: ApiKey[]; next_cursor: string | null };
export type ArchiveList = { objects: ArchiveObject[]; verification: { state: "intact" | "broken"; events: number; problem: { key: string; line: number | null; message: string } | null } | null; next_cursor: string | null };
export type ArchiveObject = { number: number; key: string; first_position: number; last_position: number; count: number; hash: string };
export type Beacon = { viewer: string; events: BeaconEvent[] };
export type BeaconEvent = ({ type: "startup" | "stall" | "latency"; ms: number; rendition?: string }) | { type: "switch"; from: string; to: string } | { type: "error"; code: string };
export type CreateAccount = { name: string };
export type CreateApiKey = { name: string; scopes: Scope[]; expires_at?: string };
export type CreatedApiKey = { id: string; name: string; prefix: string; scopes: Scope[]; status: "valid" | "expired" | "revoked"; created_at: string; expires_at: string | null; last_used_at: string | null; revoked_at: string | null; replaced_by: string | null; key: string };
export type CreatedStream = { id: string; title: string; description: string; tags: string[]; status: StreamStatus; visibility: "public" | "unlisted" | "signed"; latency_mode: "low" | "standard"; part_target: number; dvr_window_seconds: number; record: boolean; profile: "passthrough" | "passthrough_any" | "ladder" | "ladder_source"; reconnect_window_seconds: number; rtmp_url: string; playback: { hls: string; dash: string }; watch_url: string; broadcast: number; viewer_count: number; peak_viewers: number; viewers?: { connected: number; sockets: number; pull: number }; end_reason: string | null; started_at: string | null; ended_at: string | null; created_at: string; updated_at: string; deleted_at: string | null; stream_key: string };
export type CreatedStreamKey = { id: string; label: string; prefix: string; status: "valid" | "expired" | "revoked"; created_at: string; expires_at: string | null; last_used_at: string | null; last_used_from: string | null; revoked_at: string | null; replaced_by: string | null; stream_key: string };
export type CreatedWebhook = { id: string; url: string; description: string; event_types: EventType[]; enabled: boolean; created_at: string; updated_at: string; secret: string };
export type CreatePlaybackToken = { expires_in?: number; not_before?: string };
export type CreateStream = { title: string; description?: string; tags?: string[]; visibility?: "public" | "unlisted" | "signed"; latency_mode?: "low" | "standard"; part_target?: number; dvr_window_seconds?: number; record?: boolean; profile?: "passthrough" | "passthrough_any" | "ladder" | "ladder_source"; reconnect_window_seconds?: number };
export type CreateStreamKey = { label: string; expires_at?: string };
export type CreateWebhook = { url: string; description?: string; event_types?: EventType[]; enabled?: boolean };
export type DeliveredEventType = "stream.created" | "stream.updated" | "stream.deleted" | "stream_key.created" | "stream_key.rotated" | "stream_key.revoked" | "broadcast.started" | "broadcast.reconnecting" | "broadcast.resumed" | "broadcast.ended" | "broadcast.failed" | "account.created" | "api_key.created" | "api_key.rotated" | "api_key.revoked" | "webhook.created" | "webhook.updated" | "webhook.deleted" | "webhook.test";
export type Delivery = { id: string; webhook_id: string; event_id: string; event_type: DeliveredEventType; status: DeliveryStatus; attempts: number; next_attempt_at: string | null; last_attempt_at: string | null; last_status: number | null; last_error: DeliveryError; created_at: string };
export type DeliveryDetail = { id: string; webhook_id: string; event_id: string; event_type: DeliveredEventType; status: DeliveryStatus; attempts: number; next_attempt_at: string | null; last_attempt_at: string | null; last_status: number | null; last_error: DeliveryError; created_at: string; body: string };
export type DeliveryError = "http_status" | "redirect" | "timeout" | "connection_failed" | "name_not_found" | "lookup_failed" | "address_not_public" | "url_not_allowed" | "secret_unreadable" | "webhook_disabled" | "webhook_deleted" | "interrupted" | null;
export type DeliveryList = { deliveries: Delivery[]; next_cursor: string | null };
export type DeliveryStatus = "pending" | "delivered" | "dead";
export type ErrorBody = { error: string; message: string; request_id: string; details?: { field: string; message: string }[] };
export type EventList = { events: RecordedEvent[]; next_cursor: string | null };
export type EventType = "stream.created" | "stream.updated" | "stream.deleted" | "stream_key.created" | "stream_key.rotated" | "stream_key.revoked" | "broadcast.started" | "broadcast.reconnecting" | "broadcast.resumed" | "broadcast.ended" | "broadcast.failed" | "account.created" | "api_key.created" | "api_key.rotated" | "api_key.revoked" | "webhook.created" | "webhook.updated" | "webhook.deleted";
export type FindingCode = "broadcast_failed" | "reconnects" | "origin_slow" | "dropped_frames" | "frame_rate_unstable" | "bitrate_unstable" | "keyframe_interval_long" | "keyframe_interval_unsteady" | "stalls" | "origin_warning" | "no_audio" | "no_video";
export type Me = { account: Account; scopes: Scope[]; credential: "admin_key" | "api_key" | "jwt"; key_id: string | null };
export type MetricPoint = { at: string; seconds: number; viewers: number; viewers_max: number; pull: number; joins: number; ingress_kbps: number; ingress_kbps_min: number; ingress_kbps_max: number; egress_kbps: number; fps: number; fps_min: number; dropped_frames: number; keyframe_interval: number | null; keyframe_interval_max: number | null; speed: number; speed_min: number; stalls: number; errors: number; health_seconds: { good: number; fair: number; poor: number }; renditions: Record<string, number> };
export type Metrics = { since: string; until: string; step: number; points: MetricPoint[] };
export type PlaybackToken = { token: string; expires_at: string; playback: { hls: string; dash: string }; watch_url: string };
export type Probe = { state: "ok" | "down"; latency_ms: number };
export type Readiness = { status: "ready" | "degraded"; dependencies: { d1: Probe; r2: Probe; objects: Probe; queues: Probe } };
export type RecordedEvent = { id: string; account_id: string; stream_id: string | null; aggregate: string; seq: number; type: EventType; actor: string; request_id: string | null; occurred_at: string; data: Record<string, unknown>; recorded_at: string; cursor: string };
export type RotateApiKey = { overlap_seconds?: number };
export type RotatedWebhook = { id: string; url: string; description: string; event_types: EventType[]; enabled: boolean; created_at: string; updated_at: string; secret: string; previous_secret_expires_at: string | null };
export type RotateStreamKey = { overlap_seconds?: number };
export type RotateWebhookSecret = { overlap_seconds?: number };
export type Scope = "streams:read" | "streams:write" | "keys:write" | "admin";
export type SendMetadata = { payload: unknown; at?: string };
export type SentMetadata = { seq: number; at: string };
export type Stream = { id: string; title: string; description: string; tags: string[]; status: StreamStatus; visibility: "public" | "unlisted" | "signed"; latency_mode: "low" | "standard"; part_target: number; dvr_window_seconds: number; record: boolean; profile: "passthrough" | "passthrough_any" | "ladder" | "ladder_source"; reconnect_window_seconds: number; rtmp_url: string; playback: { hls: string; dash: string }; watch_url: string; broadcast: number; viewer_count: number; peak_viewers: number; viewers?: { connected: number; sockets: number; pull: number }; end_reason: string | null; started_at: string | null; ended_at: string | null; created_at: string; updated_at: string; deleted_at: string | null };
export type StreamKey = { id: string; label: string; prefix: string; status: "valid" | "expired" | "revoked"; created_at: string; expires_at: string | null; last_used_at: string | null; last_used_from: string | null; revoked_at: string | null; replaced_by: string | null };
export type StreamKeyList = { keys: StreamKey[] };
export type StreamList = { streams: Stream[]; next_cursor: string | null };
export type StreamStatus = "pending" | "active" | "reconnecting" | "completed" | "error";
export type TestDelivery = { id: string; webhook_id: string; event_id: string; event_type: DeliveredEventType; status: DeliveryStatus; attempts: number; next_attempt_at: string | null; last_attempt_at: string | null; last_status: number | null; last_error: DeliveryError; created_at: string; took_ms: number };
export type Trend = { value: number | null; before: number | null; change_percent: number | null };
export type UpdateStream = { title?: string; description?: string; tags?: string[]; visibility?: "public" | "unlisted" | "signed"; latency_mode?: "low" | "standard"; part_target?: number; dvr_window_seconds?: number; record?: boolean; profile?: "passthrough" | "passthrough_any" | "ladder" | "ladder_source"; reconnect_window_seconds?: number };
export type UpdateWebhook = { url?: string; description?: string; event_types?: EventType[]; enabled?: boolean };
export type ViewerList = { viewers: Viewers; sessions: ViewerSession[]; next_cursor: string | null };
export type Viewers = { connected: number; sockets: number; pull: number };
export type ViewerSession = { viewer: string; joined_at: string; left_at: string | null; duration_seconds: number; rendition: string | null; stalls: number; switches: number; device: string; country: string | null };
export type Webhook = { id: string; url: string; description: string; event_types: EventType[]; enabled: boolean; created_at: string; updated_at: string };
export type WebhookList = { webhooks: Webhook[] };

/** What can be done at which path, by which method. */
export type Operations = {
  "/api/v1/streams": {
    $post: Endpoint<{ header?: { "Idempotency-Key"?: string }; json: CreateStream }, WithRefusals<{ 201: CreatedStream }, 400 | 401 | 403 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
    $get: Endpoint<{ query?: { status?: ("pending" | "active" | "reconnecting" | "completed" | "error"); tag?: string; q?: string; sort?: ("-created_at" | "created_at" | "-viewer_count" | "viewer_count"); limit?: number; cursor?: string } }, WithRefusals<{ 200: StreamList }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id": {
    $get: Endpoint<{ param: { id: string } }, WithRefusals<{ 200: Stream }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
    $patch: Endpoint<{ param: { id: string }; header?: { "If-Match"?: string }; json: UpdateStream }, WithRefusals<{ 200: Stream }, 400 | 401 | 403 | 404 | 410 | 412 | 413 | 429 | 500 | 503, ErrorBody>>;
    $delete: Endpoint<{ param: { id: string }; header?: { "If-Match"?: string } }, WithRefusals<{ 204: null }, 400 | 401 | 403 | 404 | 409 | 412 | 413 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/metrics": {
    $get: Endpoint<{ param: { id: string }; query?: { since?: string; until?: string; step?: number } }, WithRefusals<{ 200: Metrics }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/analytics": {
    $get: Endpoint<{ param: { id: string }; query?: { broadcast?: number } }, WithRefusals<{ 200: Analytics }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/keys": {
    $post: Endpoint<{ param: { id: string }; header?: { "Idempotency-Key"?: string }; json: CreateStreamKey }, WithRefusals<{ 201: CreatedStreamKey }, 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
    $get: Endpoint<{ param: { id: string } }, WithRefusals<{ 200: StreamKeyList }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/keys/:key_id/rotate": {
    $post: Endpoint<{ param: { id: string; key_id: string }; header?: { "Idempotency-Key"?: string }; json: RotateStreamKey }, WithRefusals<{ 201: CreatedStreamKey }, 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/keys/:key_id": {
    $delete: Endpoint<{ param: { id: string; key_id: string } }, WithRefusals<{ 204: null }, 400 | 401 | 403 | 404 | 409 | 413 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/events": {
    $get: Endpoint<{ query?: { stream_id?: string; type?: EventType; after?: string; order?: ("asc" | "desc"); limit?: number } }, WithRefusals<{ 200: EventList }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/events/archive": {
    $get: Endpoint<{ query?: { after?: string; limit?: number; verify?: ("true" | "false") } }, WithRefusals<{ 200: ArchiveList }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/playback-tokens": {
    $post: Endpoint<{ param: { id: string }; header?: { "Idempotency-Key"?: string }; json: CreatePlaybackToken }, WithRefusals<{ 201: PlaybackToken }, 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/viewers": {
    $get: Endpoint<{ param: { id: string }; query?: { limit?: number; cursor?: string } }, WithRefusals<{ 200: ViewerList }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/metadata": {
    $post: Endpoint<{ param: { id: string }; header?: { "Idempotency-Key"?: string }; json: SendMetadata }, WithRefusals<{ 202: SentMetadata }, 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks": {
    $post: Endpoint<{ header?: { "Idempotency-Key"?: string }; json: CreateWebhook }, WithRefusals<{ 201: CreatedWebhook }, 400 | 401 | 403 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
    $get: Endpoint<object, WithRefusals<{ 200: WebhookList }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks/:webhook_id": {
    $get: Endpoint<{ param: { webhook_id: string } }, WithRefusals<{ 200: Webhook }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
    $patch: Endpoint<{ param: { webhook_id: string }; header?: { "If-Match"?: string }; json: UpdateWebhook }, WithRefusals<{ 200: Webhook }, 400 | 401 | 403 | 404 | 412 | 413 | 429 | 500 | 503, ErrorBody>>;
    $delete: Endpoint<{ param: { webhook_id: string }; header?: { "If-Match"?: string } }, WithRefusals<{ 204: null }, 400 | 401 | 403 | 404 | 412 | 413 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks/:webhook_id/rotate-secret": {
    $post: Endpoint<{ param: { webhook_id: string }; header?: { "If-Match"?: string; "Idempotency-Key"?: string }; json: RotateWebhookSecret }, WithRefusals<{ 200: RotatedWebhook }, 400 | 401 | 403 | 404 | 409 | 412 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks/:webhook_id/test": {
    $post: Endpoint<{ param: { webhook_id: string }; header?: { "Idempotency-Key"?: string } }, WithRefusals<{ 200: TestDelivery }, 400 | 401 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks/:webhook_id/deliveries": {
    $get: Endpoint<{ param: { webhook_id: string }; query?: { status?: DeliveryStatus; limit?: number; cursor?: string } }, WithRefusals<{ 200: DeliveryList }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks/:webhook_id/deliveries/:delivery_id": {
    $get: Endpoint<{ param: { webhook_id: string; delivery_id: string } }, WithRefusals<{ 200: DeliveryDetail }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/webhooks/:webhook_id/deliveries/:delivery_id/redeliver": {
    $post: Endpoint<{ param: { webhook_id: string; delivery_id: string }; header?: { "Idempotency-Key"?: string } }, WithRefusals<{ 202: Delivery }, 400 | 401 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/me": {
    $get: Endpoint<object, WithRefusals<{ 200: Me }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/accounts": {
    $post: Endpoint<{ header?: { "Idempotency-Key"?: string }; json: CreateAccount }, WithRefusals<{ 201: Account }, 400 | 401 | 403 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
    $get: Endpoint<{ query?: { limit?: number; cursor?: string } }, WithRefusals<{ 200: AccountList }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/accounts/:account_id": {
    $get: Endpoint<{ param: { account_id: string } }, WithRefusals<{ 200: Account }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/accounts/:account_id/api-keys": {
    $post: Endpoint<{ param: { account_id: string }; header?: { "Idempotency-Key"?: string }; json: CreateApiKey }, WithRefusals<{ 201: CreatedApiKey }, 400 | 401 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/api-keys": {
    $post: Endpoint<{ header?: { "Idempotency-Key"?: string }; json: CreateApiKey }, WithRefusals<{ 201: CreatedApiKey }, 400 | 401 | 403 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
    $get: Endpoint<{ query?: { limit?: number; cursor?: string } }, WithRefusals<{ 200: ApiKeyList }, 400 | 401 | 403 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/api-keys/:key_id": {
    $get: Endpoint<{ param: { key_id: string } }, WithRefusals<{ 200: ApiKey }, 400 | 401 | 403 | 404 | 429 | 500 | 503, ErrorBody>>;
    $delete: Endpoint<{ param: { key_id: string } }, WithRefusals<{ 204: null }, 400 | 401 | 403 | 404 | 409 | 413 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/api-keys/:key_id/rotate": {
    $post: Endpoint<{ param: { key_id: string }; header?: { "Idempotency-Key"?: string }; json: RotateApiKey }, WithRefusals<{ 201: CreatedApiKey }, 400 | 401 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503, ErrorBody>>;
  };
  "/api/v1/streams/:id/beacon": {
    $post: Endpoint<{ param: { id: string }; json: Beacon }, WithRefusals<{ 204: null }, 400 | 404 | 413 | 429 | 500, ErrorBody>>;
  };
  "/api/v1/streams/:id/ws": {
    $get: Endpoint<{ param: { id: string }; query: { viewer: string; resume?: string; token?: string } }, WithRefusals<{ 101: null }, 400 | 401 | 403 | 404 | 426 | 429 | 500 | 503, ErrorBody>>;
  };
  "/health": {
    $get: Endpoint<object, WithRefusals<{ 200: Alive }, 500, ErrorBody>>;
  };
  "/ready": {
    $get: Endpoint<object, WithRefusals<{ 200: Readiness; 503: Readiness }, 500, ErrorBody>>;
  };
};
