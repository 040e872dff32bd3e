import { tmpdir } from "node:os";
import { readOriginConfig } from "./config.ts";
import { createLog } from "./log.ts";
import { Origin } from "./origin.ts";

// The origin as its container runs it. Settings come from the environment; see docs/origin.md.
const config = readConfig();
// The processes that the origin starts inherit the environment, and have no use for its token.
delete process.env.ORIGIN_TOKEN;
const log = createLog(config.logLevel);
const origin = new Origin(config, log);
let ending = false;

function readConfig() {
  try {
    return readOriginConfig(process.env, tmpdir());
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

function end(signal: string): void {
  // Who asks twice is in a hurry.
  if (ending) return origin.hurry();
  ending = true;
  log.info({ signal }, "origin stops");
  origin.stop().then(
    () => process.exit(0),
    (error: unknown) => {
      log.error({ error: String(error) }, "origin did not stop cleanly");
      process.exit(1);
    },
  );
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(signal));
process.on("SIGHUP", () => void origin.reloadCertificate());
try {
  const ports = await origin.start();
  log.info({ ...ports, edge: config.edgeUrl, origin: config.originId }, "origin ready");
} catch (error) {
  log.error({ error: error instanceof Error ? error.message : String(error) }, "origin cannot start");
  process.exit(1);
}
