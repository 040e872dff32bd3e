import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { publishFlv } from "./local/publish-flv.ts";
import { loadSecrets, localAddress, readLocalSettings, StartError } from "./local/settings.ts";
import { testPatternArgs } from "./local/test-pattern.ts";

// Creates a stream on the running platform and pushes a test pattern with a clock and a tone to it, until Ctrl-C.
async function demo(): Promise<void> {
  const settings = readLocalSettings(process.env);
  const address = localAddress(settings.host);
  const site = `http://${address === "127.0.0.1" ? "localhost" : address}:${settings.port}`;
  if (!existsSync(settings.dataDir)) throw new StartError(`nothing runs here yet: start it with npm start, in another terminal`);
  const { ADMIN_API_KEY } = loadSecrets(settings.dataDir, process.env);
  const answer = await fetch(`${site}/api/v1/streams`, {
    method: "POST",
    headers: { Authorization: `Bearer ${ADMIN_API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Demo: test pattern and tone" }),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => {
    throw new StartError(`nothing answers at ${site}: start it with npm start, in another terminal`);
  });
  if (answer.status === 401)
    throw new StartError("the API key is not the running platform's: use the same ADMIN_API_KEY and DATA_DIR as npm start");
  if (answer.status !== 201) throw new StartError(`the stream could not be created: ${answer.status} ${await answer.text()}`);
  const stream = (await answer.json()) as { watch_url: string; stream_key: string; playback: { hls: string } };

  const pattern = { width: 1280, height: 720, fps: 30, videoKbps: 2500, keyframeSeconds: 2 };
  const ffmpeg = spawn("ffmpeg", testPatternArgs(pattern, Date.now()), { stdio: ["ignore", "pipe", "inherit"] });
  const end = () => ffmpeg.kill("SIGTERM");
  for (const event of ["SIGINT", "SIGTERM", "message", "disconnect"]) process.on(event, end);
  console.log(`\n  Watch     ${stream.watch_url}\n  Playlist  ${stream.playback.hls}\n\n  Pushing a test pattern; Ctrl-C stops it.\n`);
  try {
    await publishFlv({ host: address, port: settings.rtmpPort }, stream.stream_key, ffmpeg.stdout);
  } finally {
    end();
  }
}

try {
  await demo();
  process.exit(0);
} catch (error) {
  console.error(`nova-edge: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
