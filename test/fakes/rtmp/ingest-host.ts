import { Ingest } from "../../../origin/ingest/ingest.ts";
import { createLog } from "../../../origin/log.ts";

/*
 * An origin that does nothing but take publishes, as a process of its own: for tests of what it prints, and of its sudden death.
 * Argument: the run directory. Refuses the key "refused". Prints JSON lines, the first with `port` and `ingest_pid`.
 */

const log = createLog("debug");
const ingest = new Ingest({
  rtmpPort: 0,
  bind: "127.0.0.1",
  runDirectory: process.argv[2] ?? "",
  log,
  logLevel: "debug",
  onPublication(publication) {
    if (publication.streamKey.startsWith("refused")) return publication.refuse("Unknown stream key.");
    publication.accept();
    publication.media.resume();
    void publication.ended.then((end) => log.info({ ...end }, "publish over"));
  },
});
const { port } = await ingest.start();
log.info({ port, ingest_pid: ingest.pid }, "host ready");
