import { tmpdir } from "node:os";
import { readOriginConfig } from "../../origin/config.ts";
import { createLog } from "../../origin/log.ts";
import { Origin } from "../../origin/origin.ts";
import { endWithSupervisor, report } from "./child.ts";
import { loadSecrets, localAddress, readLocalSettings } from "./settings.ts";

// The origin of a local run, in a process of its own. Its token comes from the data directory, so that it is in no process list.
const settings = readLocalSettings(process.env);
const secrets = loadSecrets(settings.dataDir, process.env);
try {
  const config = readOriginConfig(
    {
      // A local run ends at once, and what its operator may ask is on any free port.
      DRAIN_SECONDS: "0",
      PRIVATE_PORT: "0",
      ...process.env,
      EDGE_URL: `http://${localAddress(settings.host)}:${settings.port}`,
      ORIGIN_TOKEN: secrets.ORIGIN_TOKENS.split(",")[0],
      RTMP_HOST: settings.host,
      RTMP_PORT: String(settings.rtmpPort),
    },
    tmpdir(),
  );
  const origin = new Origin(config, createLog(config.logLevel));
  const ports = await origin.start();
  endWithSupervisor(() => origin.stop());
  report({ ready: { privatePort: ports.privateHttp } });
} catch (error) {
  report({ failed: `the origin could not start: ${error instanceof Error ? error.message : String(error)}` });
}
