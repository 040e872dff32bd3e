import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

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

/** The web pages, built to static assets. */
export default defineConfig({
  root: path("workers/web/pages"),
  plugins: [preloadHls()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: path("dist/pages"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    // The page's policy forbids data: scripts and styles.
    assetsInlineLimit: 0,
    // hls.js is that large, and loads beside the page.
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      input: {
        index: path("workers/web/pages/index.html"),
        watch: path("workers/web/pages/watch.html"),
        lost: path("workers/web/pages/404.html"),
      },
    },
  },
});
