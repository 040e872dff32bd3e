# The edge for trying out: the Worker in workerd on one machine. In production Cloudflare runs it.
# `docker build -f scripts/container/edge.Dockerfile -t nova-edge-local .` in the project's root.

FROM node:24-bookworm-slim AS build
WORKDIR /app
ENV WRANGLER_LOG=error WRANGLER_SEND_METRICS=false
COPY package.json package-lock.json ./
# Not `npm ci`: it wants the lock file to name the native packages of every platform. The lock file decides the versions all the same.
RUN npm install --no-save --no-audit --no-fund --loglevel=error
COPY wrangler.toml vite.config.ts tsconfig.json tsconfig.base.json worker-configuration.d.ts ./
COPY domain domain
COPY durable-objects durable-objects
COPY migrations migrations
COPY workers workers
COPY docs/streaming-api.openapi.yaml docs/
COPY scripts scripts
RUN node scripts/build.ts

FROM node:24-bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tini \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 -m 0700 /data
WORKDIR /app
COPY --from=build /app .
# wrangler keeps its own files below HOME, and workerd in the temporary directory.
ENV NODE_ENV=production \
    HOME=/tmp \
    HOST=0.0.0.0 \
    PORT=8787 \
    DATA_DIR=/data \
    WRANGLER_LOG=error \
    WRANGLER_SEND_METRICS=false \
    WRANGLER_REGISTRY_PATH=/tmp/registry \
    CLOUDFLARE_CF_FETCH_ENABLED=false
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 8787}/health`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--", "node", "scripts/container/edge.ts"]
