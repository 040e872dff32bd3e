import { z } from "zod";
import { Viewers } from "../events.ts";

const time = z.iso.datetime();
const count = z.number().int().nonnegative();

/** Query of `GET /api/v1/streams/{id}/viewers`; `cursor` is the `next_cursor` of the page before. */
export const ListViewers = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, "take it from next_cursor of the page before")
    .optional()
    .meta({ description: "`next_cursor` of the page before" }),
});

/** A viewer's stay, from its first socket to its last. */
export const ViewerSession = z
  .object({
    viewer: z.string().meta({ description: "What the client called itself" }),
    joined_at: time,
    left_at: time.nullable().meta({ description: "Null while it lasts" }),
    duration_seconds: z.number().nonnegative().meta({ description: "So far, where it lasts" }),
    rendition: z.string().nullable().meta({ description: "What it plays, or played last; null where its player has not said" }),
    stalls: count,
    switches: count,
    device: z.string().meta({ description: "`desktop`, `mobile`, `tablet`, `tv`, `bot` or `other`" }),
    country: z.string().nullable().meta({ description: "ISO 3166, two letters" }),
  })
  .meta({ id: "ViewerSession" });
export type ViewerSession = z.infer<typeof ViewerSession>;

/** Answer of `GET /api/v1/streams/{id}/viewers`: who watches now, and the stays of those who do and did, the newest first. */
export const ViewerList = z
  .object({
    viewers: Viewers,
    sessions: z.array(ViewerSession),
    next_cursor: z.string().nullable().meta({ description: "Asks for the next page; null on the last" }),
  })
  .meta({
    id: "ViewerList",
    example: {
      viewers: { connected: 1201, sockets: 1204, pull: 87 },
      sessions: [
        {
          viewer: "3f9c2b7d8e1a4c60",
          joined_at: "2026-05-02T18:02:11.412Z",
          left_at: null,
          duration_seconds: 1735.6,
          rendition: "source",
          stalls: 0,
          switches: 1,
          device: "mobile",
          country: "NZ",
        },
      ],
      next_cursor: "1777744931412000.0",
    },
  });
export type ViewerList = z.infer<typeof ViewerList>;
