# Rollout actors: `docker build -f deploy/docker/actor.Dockerfile --target bun .` (one compiled program) or `--target deno` (without
# permission to write or to start processes). Neither image has a shell, and neither runs as root.

FROM oven/bun:1.4.5 AS packages
WORKDIR /proxima
COPY package.json bun.lockb bunfig.toml ./
RUN bun install --frozen-lockfile --production

FROM packages AS program
COPY . .
RUN bun build --compile --sourcemap=none deploy/actor-main.ts --outfile /proxima-actor

# The program needs the C library and nothing else.
FROM gcr.io/distroless/base-debian12:nonroot AS bun
COPY --from=program /proxima-actor /proxima-actor
USER 65532:65532
WORKDIR /data
ENTRYPOINT ["/proxima-actor"]

FROM denoland/deno:distroless-2.9.6 AS deno
WORKDIR /proxima
COPY --from=packages /proxima/node_modules node_modules
COPY package.json ./
COPY proto proto
COPY envs envs
COPY policy policy
COPY actors actors
COPY deploy deploy
USER 65532:65532
ENTRYPOINT ["/bin/deno", "run", "--quiet", "--no-prompt", "--cached-only", "--allow-net", "--allow-read", "--allow-env", "--allow-sys", "deploy/actor-main.ts"]
