import { startEdge } from "../local/edge.ts";
import { loadSecrets, prepareDataDir, readLocalSettings, StartError } from "../local/settings.ts";

// The edge as its container for trying out runs it. The origin's token comes from the environment, because the origin, in a container of
// its own, has to know it; the other secrets are made once and kept with the data.
const say = (line: string) => console.log(`nova-edge: ${line}`);

try {
  const token = process.env.ORIGIN_TOKEN;
  if (!token) throw new StartError("ORIGIN_TOKEN is not set: give edge and origin the same long random text");
  const settings = readLocalSettings(process.env);
  prepareDataDir(settings.dataDir);
  const secrets = { ...loadSecrets(settings.dataDir, process.env), ORIGIN_TOKENS: token };
  const { miniflare } = await startEdge({ ...settings, rtmpUrl: `rtmp://{host}:${settings.rtmpPort}/live`, secrets });
  for (const signal of ["SIGINT", "SIGTERM"]) {
    // miniflare's own listener exits at once, with what is being stored under way.
    process.removeAllListeners(signal);
    process.once(signal, () =>
      miniflare.dispose().then(
        () => process.exit(0),
        () => process.exit(1),
      ),
    );
  }
  say(`edge ready on port ${settings.port}`);
} catch (error) {
  console.error(`nova-edge: ${error instanceof StartError ? error.message : `the edge could not start: ${error}`}`);
  process.exit(1);
}
