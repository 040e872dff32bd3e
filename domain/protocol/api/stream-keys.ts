import { z } from "zod";
import { expiresAt, rotation } from "./key-life.ts";
import { label } from "./words.ts";

/** How many keys of a stream may be valid at once. */
export const MAX_STREAM_KEYS = 20;

const timestamp = z.iso.datetime();

/** The body of `POST /api/v1/streams/{id}/keys`. */
export const CreateStreamKey = z
  .strictObject({
    label: label(64).meta({ description: "To know it by: which encoder, or whose" }),
    expires_at: expiresAt("From then on it opens no new connection; without it, never"),
  })
  .meta({ id: "CreateStreamKey", example: { label: "Camera 2" } });

/** The body of `POST /api/v1/streams/{id}/keys/{key_id}/rotate`. */
export const RotateStreamKey = rotation(
  "RotateStreamKey",
  "How long the old key still opens connections. One that is live goes on until it ends by itself",
);

const exampleKey = {
  id: "0d5f7a52-5b0c-4a6e-9c1d-6f1f4b1c2a3e",
  label: "Camera 2",
  prefix: "nova_7k2m9",
  status: "valid" as const,
  created_at: "2026-05-02T17:55:00.000Z",
  expires_at: null,
  last_used_at: "2026-05-02T18:00:00.900Z",
  last_used_from: "203.0.113.9",
  revoked_at: null,
  replaced_by: null,
};

/** A stream key as lists show it: never the key itself. */
export const StreamKeyResource = z
  .object({
    id: z.uuid(),
    label: z.string(),
    prefix: z.string().meta({ description: "Its first characters; empty where they were not kept" }),
    status: z.enum(["valid", "expired", "revoked"]),
    created_at: timestamp,
    expires_at: timestamp.nullable(),
    last_used_at: timestamp.nullable(),
    last_used_from: z.string().nullable().meta({ description: "The address of the encoder that published with it last" }),
    revoked_at: timestamp.nullable(),
    replaced_by: z.uuid().nullable().meta({ description: "The id of the key that it was rotated into" }),
  })
  .meta({ id: "StreamKey", example: exampleKey });
export type StreamKeyResource = z.infer<typeof StreamKeyResource>;

/** The only answer that ever holds the key. */
export const CreatedStreamKey = StreamKeyResource.extend({
  stream_key: z.string().meta({ description: "For the encoder; shown this once" }),
}).meta({
  id: "CreatedStreamKey",
  example: { ...exampleKey, last_used_at: null, last_used_from: null, stream_key: "nova_7k2m9qx4v8n3p5r1t6w0z2bc4d6f8g0h" },
});

/** Answer of `GET /api/v1/streams/{id}/keys`: all of them, the newest first. */
export const StreamKeyList = z.object({ keys: z.array(StreamKeyResource) }).meta({ id: "StreamKeyList", example: { keys: [exampleKey] } });
