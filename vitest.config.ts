import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const secrets = { ID_SECRET: "test-id-secret", ORIGIN_TOKENS: "test-origin-token,other-origin-token", ADMIN_API_KEY: "test-admin-key" };
/** Two keys for playback tokens; the pair is that of rfc8037 §A.1. */
const playbackKeys = [
  { kty: "oct", kid: "shared", alg: "HS256", k: "dGVzdC1wbGF5YmFjay1rZXktb2YtMzItYnl0ZXMtISE" },
  {
    kty: "OKP",
    crv: "Ed25519",
    kid: "pair",
    alg: "EdDSA",
    x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
  },
];

const WAITING = ["hibernation", "counts", "resume", "sockets"].map((name) => `test/e2e/${name}.test.ts`);

// wrangler.toml names the secrets that a deployment must have; the tests have them in the environment.
Object.assign(process.env, secrets, { WRANGLER_LOG: "error" });

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/domain/**/*.test.ts", "test/audience/**/*.test.ts", "test/web/**/*.test.ts", "test/repo/**/*.test.ts"],
        },
      },
      {
        test: { name: "origin", include: ["test/origin/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: WAITING,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      // They wait for most of their time, and so do it together.
      { test: { name: "waiting", include: WAITING, testTimeout: 120_000, hookTimeout: 120_000 } },
      {
        plugins: [
          cloudflareTest(async () => ({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                MIGRATIONS: await readD1Migrations("migrations"),
                PLAYBACK_KEYS: JSON.stringify({ keys: playbackKeys }),
                ANALYTICS_SINK: "memory",
                // So that a test can fill an object, and use an address up.
                SHARD_THRESHOLD: "20",
                MAX_SOCKETS_PER_ADDRESS: "10",
              },
            },
          })),
        ],
        test: { name: "edge", include: ["test/edge/**/*.test.ts"], setupFiles: ["test/edge/migrate.ts"], testTimeout: 30_000 },
      },
    ],
  },
});
