import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build, defineConfig, type Plugin } from "vite";
import { parse } from "yaml";

function path(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** Has the watch page fetch hls.js beside its own script, instead of after it: the first frame waits for both. */
function preloadHls(): Plugin {
  return {
    name: "preload-hls",
    transformIndexHtml: {
      order: "post",
      handler(_html, { bundle, path: page }) {
        if (!bundle || page !== "/watch.html") return;
        const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
        const engine = chunks.find((chunk) => chunk.facadeModuleId?.endsWith("/watch/hls-engine.ts"));
        if (!engine) throw new Error("The chunk of hls.js is not in the bundle");
        return [engine.fileName, ...engine.imports].map((file) => ({
          tag: "link",
          attrs: { rel: "modulepreload", href: `/${file}` },
          injectTo: "head" as const,
        }));
      },
    },
  };
}

/** Modules of the client whose types its users see. */
const CLIENT_TYPES = ["stream-events", "socket-environment", "playback-report", "address", "stream-socket"];

/** Adds the client of the stream's socket as one file of a lasting name, with its types beside it. The pages have a copy of their own, as old as they are. */
function streamClient(): Plugin {
  return {
    name: "stream-client",
    async generateBundle() {
      const [source, types] = await Promise.all([buildClient(), declareClient()]);
      this.emitFile({ type: "asset", fileName: "client/stream-socket.js", source });
      this.emitFile({ type: "asset", fileName: "client/stream-socket.d.ts", source: types });
    },
  };
}

async function buildClient(): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2022",
      minify: false,
      lib: { entry: path("workers/web/client/stream-socket.ts"), formats: ["es"], fileName: "stream-socket" },
    },
  });
  const [chunk, ...others] = [built].flat().flatMap((result) => ("output" in result ? result.output : []));
  if (chunk?.type !== "chunk" || others.length > 0) throw new Error("The client of the stream's socket is not one file");
  return chunk.code;
}

/** The declarations of what users see, in one file. */
async function declareClient(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "nova-client-"));
  try {
    const options = ["-p", path("workers/web/client/tsconfig.json"), "--outDir", directory];
    await promisify(execFile)(process.execPath, [path("node_modules/typescript/bin/tsc"), ...options]);
    const texts = await Promise.all(CLIENT_TYPES.map((name) => readFile(join(directory, "workers/web/client", `${name}.d.ts`), "utf8")));
    return texts.join("").replaceAll(/^(import|export (type )?\{)[^;]*;\n/gm, "");
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Adds the API's document, which a test holds against the code. */
function apiDocument(): Plugin {
  return {
    name: "api-document",
    async generateBundle() {
      const source = await readFile(path("docs/streaming-api.openapi.yaml"), "utf8");
      this.emitFile({ type: "asset", fileName: "openapi.yaml", source });
      this.emitFile({ type: "asset", fileName: "openapi.json", source: JSON.stringify(parse(source)) });
    },
  };
}

/** The web pages, built to static assets. */
export default defineConfig({
  root: path("workers/web/pages"),
  plugins: [preloadHls(), streamClient(), apiDocument()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: path("dist/pages"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    // The page's policy forbids data: scripts and styles.
    assetsInlineLimit: 0,
    // The reference of the API is that large; only its own page loads it. hls.js has half of it, and loads beside the page.
    chunkSizeWarningLimit: 1_700,
    rolldownOptions: {
      input: {
        index: path("workers/web/pages/index.html"),
        watch: path("workers/web/pages/watch.html"),
        docs: path("workers/web/pages/docs.html"),
        lost: path("workers/web/pages/404.html"),
      },
    },
  },
});
