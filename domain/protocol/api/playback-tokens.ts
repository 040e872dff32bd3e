import { z } from "zod";

/** The body of `POST /api/v1/streams/{id}/playback-tokens`. */
export const MintPlaybackToken = z
  .strictObject({
    expires_in: z.number().int().min(60).max(604_800).default(3600).meta({
      description: "Seconds, counted from `not_before` where it lies ahead",
    }),
    not_before: z.iso.datetime({ offset: true }).optional().meta({ description: "Up to 30 days ahead; without it, now" }),
  })
  .meta({ id: "CreatePlaybackToken", example: { expires_in: 7200 } });
export type MintPlaybackToken = z.output<typeof MintPlaybackToken>;

/** Answer to it. */
export const PlaybackToken = z
  .object({
    token: z.string().meta({ description: "For the path of playback addresses and the socket's `token`" }),
    expires_at: z.iso.datetime(),
    playback: z.object({ hls: z.string(), dash: z.string() }),
    watch_url: z.string().meta({ description: "The watch page; the token is in the fragment, which no server sees" }),
  })
  .meta({
    id: "PlaybackToken",
    example: {
      token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
      expires_at: "2026-05-02T20:00:00.000Z",
      playback: {
        hls: "https://live.example.com/t/eyJhbGciOiJIUzI1NiJ9.e30.c2ln/hls/7k2m9qx4v8n3p5r1t6w0z2bc/index.m3u8",
        dash: "https://live.example.com/t/eyJhbGciOiJIUzI1NiJ9.e30.c2ln/dash/7k2m9qx4v8n3p5r1t6w0z2bc/manifest.mpd",
      },
      watch_url: "https://live.example.com/watch/7k2m9qx4v8n3p5r1t6w0z2bc#token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    },
  });
