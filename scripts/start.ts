import { join } from "node:path";
import { build } from "./local/build.ts";
import { checkFfmpeg, checkPort, lockDataDir } from "./local/preflight.ts";
import { loadSecrets, localAddress, prepareDataDir, readLocalSettings, StartError } from "./local/settings.ts";
import { Supervised } from "./local/supervised.ts";

const say = (line: string) => console.log(`nova-edge: ${line}`);
const children: Supervised[] = [];
let unlock = () => {};
let ending = false;

/** Ends everything, the origin first so that it can tell the edge. */
async function end(code: number): Promise<never> {
  if (ending) return new Promise(() => {});
  ending = true;
  for (const child of [...children].reverse()) await child.stop();
  unlock();
  process.exit(code);
}

process.on("SIGINT", () => void end(0));
process.on("SIGTERM", () => void end(0));
process.on("SIGHUP", () => void end(0));
process.on("message", () => void end(0));
// Whoever started us is gone, without a signal.
process.on("disconnect", () => void end(0));

try {
  const settings = readLocalSettings(process.env);
  const { host, port, rtmpPort, dataDir } = settings;
  prepareDataDir(dataDir);
  checkFfmpeg();
  unlock = await lockDataDir(dataDir);
  await checkPort(host, port, "PORT");
  await checkPort(host, rtmpPort, "RTMP_PORT");
  const secrets = loadSecrets(dataDir, process.env);
  await build(say);

  const env = { HOST: host, PORT: String(port), RTMP_PORT: String(rtmpPort), DATA_DIR: dataDir };
  const edge = new Supervised({ name: "the edge", script: join(import.meta.dirname, "local", "edge-process.ts"), env, say });
  children.push(edge);
  await edge.start();
  const origin = new Supervised({ name: "the origin", script: join(import.meta.dirname, "local", "origin-process.ts"), env, say });
  children.push(origin);
  const { privatePort } = await origin.start();

  const address = localAddress(host);
  const name = address === "127.0.0.1" ? "localhost" : address;
  const site = `http://${name}:${port}`;
  console.log(`
  Home page      ${site}/
  Watch a stream ${site}/watch/STREAM_ID
  Publish to     rtmp://${name}:${rtmpPort}/live/STREAM_KEY
  Admin API key  ${secrets.ADMIN_API_KEY}
  Origin status  http://localhost:${privatePort}/status (and /metrics, /healthz, /readyz)

  Try it: npm run demo
`);
  say("ready");
} catch (error) {
  if (!ending) console.error(`nova-edge: ${error instanceof StartError ? error.message : error}`);
  await end(1);
}
