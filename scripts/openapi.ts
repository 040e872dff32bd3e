import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./local/build.ts";
import { encodeWrittenFiles } from "./openapi/written-files.ts";

// Writes the API's document and the types of its client anew. A test says when they are not those of the code.
for (const [path, text] of Object.entries(await encodeWrittenFiles())) writeFileSync(join(ROOT, path), text);
