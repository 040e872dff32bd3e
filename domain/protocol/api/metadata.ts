import { z } from "zod";
import type { Millis } from "../../time.ts";
import { anyJson } from "../json-value.ts";

/** How long a payload may be, bytes of its JSON. */
export const MAX_METADATA_BYTES = 4_096;
const MAX_METADATA_DEPTH = 32;
const MAX_METADATA_TIME_MS: Millis = Date.UTC(2100, 0, 1);

/** The body of `POST /api/v1/streams/{id}/metadata`. */
export const SendMetadata = z
  .strictObject({
    payload: anyJson(MAX_METADATA_DEPTH).meta({
      description: `Any JSON of at most ${MAX_METADATA_BYTES} bytes and ${MAX_METADATA_DEPTH} levels`,
    }),
    at: z.iso
      .datetime({ offset: true })
      .refine((at) => Date.parse(at) >= 0 && Date.parse(at) < MAX_METADATA_TIME_MS, "between 1970 and 2100")
      .optional()
      .meta({ description: "The moment of the programme that it belongs to; without it, now" }),
  })
  .meta({ id: "SendMetadata", example: { payload: { score: [2, 1] }, at: "2026-05-02T18:25:00Z" } });

/** Answer to it. */
export const MetadataAnswer = z
  .object({
    seq: z.number().int().nonnegative().meta({ description: "Number of the event that carries it" }),
    at: z.iso.datetime().meta({ description: "The time that it was given" }),
  })
  .meta({ id: "SentMetadata", example: { seq: 48, at: "2026-05-02T18:25:00.000Z" } });
