import { endWithSupervisor, report } from "./child.ts";
import { startEdge } from "./edge.ts";
import { loadSecrets, readLocalSettings } from "./settings.ts";

// The edge in a process of its own. Its secrets come from the data directory, so that they are in no process list.
const settings = readLocalSettings(process.env);
const secrets = loadSecrets(settings.dataDir, process.env);
try {
  const { miniflare, url } = await startEdge({ ...settings, rtmpUrl: `rtmp://{host}:${settings.rtmpPort}/live`, secrets });
  endWithSupervisor(() => miniflare.dispose());
  report({ ready: { url: String(url) } });
} catch (error) {
  report({ failed: `the edge could not start: ${error instanceof Error ? error.message : String(error)}` });
}
