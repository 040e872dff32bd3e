import type { Readable } from "node:stream";
import { FlvReader } from "../../origin/transcode/flv.ts";
import { RtmpClient } from "../../test/fakes/rtmp/client.ts";

const TAG_TYPES = { audio: 8, video: 9, script: 18 } as const;

/**
 * Publishes an FLV stream by RTMP until it ends. The key goes over the connection only: an encoder's
 * command line would show it to everybody who may list processes. Rejects with the server's reason where it refuses.
 */
export async function publishFlv(rtmp: { host: string; port: number }, streamKey: string, flv: Readable): Promise<void> {
  const client = await RtmpClient.connected(rtmp.port, rtmp.host);
  client.setChunkSize(4096);
  const status = await client.publish(streamKey);
  if (status.level === "error") throw new Error(`the publish was refused: ${status.description}`);
  const reader = new FlvReader();
  let lost = false;
  void client.closed.then(() => {
    lost = true;
    flv.destroy();
  });
  try {
    for await (const chunk of flv) {
      for (const tag of reader.push(chunk as Buffer))
        client.sendTag({ type: TAG_TYPES[tag.type], timestamp: tag.timestamp, data: tag.data });
    }
  } catch (error) {
    if (!lost) throw error;
  }
  if (lost) throw new Error(`the connection was lost: ${client.statuses.at(-1)?.description ?? "no reason given"}`);
  client.unpublish(streamKey);
  client.socket.end();
  await client.closed;
}
