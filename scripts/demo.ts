import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { loadSecrets, readLocalSettings } from "./local/settings.ts";
import { encodeTestPattern } from "./local/test-pattern.ts";

// Creates a stream on the running platform and pushes a test pattern with a clock and a tone to it, until Ctrl-C.
const settings = readLocalSettings(process.env);
const site = `http://localhost:${settings.port}`;

function fail(message: string): never {
  console.error(`nova-edge: ${message}`);
  process.exit(1);
}

if (!existsSync(settings.dataDir)) fail(`nothing runs with the data directory ${settings.dataDir}: run npm start first, in another terminal`);
const { ADMIN_API_KEY } = loadSecrets(settings.dataDir, process.env);
const answer = await fetch(`${site}/api/v1/streams`, {
  method: "POST",
  headers: { Authorization: `Bearer ${ADMIN_API_KEY}`, "Content-Type": "application/json" },
  body: JSON.stringify({ title: "Demo: test pattern and tone" }),
  signal: AbortSignal.timeout(10_000),
}).catch(() => fail(`nothing answers at ${site}: run npm start first, in another terminal`));
if (answer.status === 401) fail("the API key is not the running platform's: start the demo with the same ADMIN_API_KEY as npm start");
if (answer.status !== 201) fail(`the stream could not be created: ${answer.status} ${await answer.text()}`);
const stream = (await answer.json()) as { watch_url: string; stream_key: string; playback: { hls: string } };

const publisher = encodeTestPattern({ width: 1280, height: 720, fps: 30, videoKbps: 2500, keyframeSeconds: 2 });
// The key goes through a pipe, not on a command line that others on this machine can read.
const ffmpeg = spawn("ffmpeg", publisher.args, { stdio: ["ignore", "pipe", "inherit"] });
const { publishFlv } = await import("./local/publish-flv.ts");
console.log(`
  Watch     ${stream.watch_url}
  Playlist  ${stream.playback.hls}

  Pushing a test pattern, Ctrl-C stops it.
`);
const end = () => ffmpeg.kill("SIGTERM");
process.on("SIGINT", end);
process.on("SIGTERM", end);
process.on("message", end);
process.on("disconnect", end);
await publishFlv(`rtmp://127.0.0.1:${settings.rtmpPort}/live`, stream.stream_key, ffmpeg.stdout).catch((error: Error) => fail(error.message));
process.exit(0);
