import { build } from "./local/build.ts";

// Builds the pages and the Worker into dist/, as npm start and the tests use them.
await build((line) => console.log(`nova-edge: ${line}`));
