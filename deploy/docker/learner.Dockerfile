# The learner: `docker build -f deploy/docker/learner.Dockerfile --target cpu .`, or `--target cuda` (TensorFlow on NVIDIA GPUs), or
# `--target vulkan` (WebGPU on any GPU with a Vulkan driver). Runs lie in /data/runs: mount a volume on /data.

FROM node:22-bookworm-slim AS package
RUN npm install --global bun@1.4.5
WORKDIR /proxima
COPY package.json bun.lockb bunfig.toml ./
RUN bun install --frozen-lockfile
COPY . .
RUN npm pack --silent --pack-destination /tmp && mkdir /package && npm install --prefix /package --omit=dev /tmp/proxima-*.tgz

FROM oven/bun:1.4.5-slim AS cpu
COPY --from=package /package /opt/proxima
ENV PATH=/opt/proxima/node_modules/.bin:$PATH XDG_CACHE_HOME=/data/.cache
WORKDIR /data
RUN chown 65532:65532 /data
USER 65532:65532
ENTRYPOINT ["proxima-learner"]

FROM cpu AS vulkan
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends libvulkan1 mesa-vulkan-drivers && rm -rf /var/lib/apt/lists/*
ENV XDG_CACHE_HOME=/opt/cache
RUN proxima gpu install webgpu && chown -R 65532:65532 /opt/cache
USER 65532:65532

FROM tensorflow/tensorflow:2.21.0-gpu AS cuda
COPY --from=oven/bun:1.4.5 /usr/local/bin/bun /usr/local/bin/bun
COPY --from=package /package /opt/proxima
ENV PATH=/opt/proxima/node_modules/.bin:$PATH XDG_CACHE_HOME=/opt/cache
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN proxima gpu install tensorflow && \
    proxima gpu build-addon --tensorflow "$(python3 -c 'import tensorflow, os; print(os.path.dirname(tensorflow.__file__))')"
WORKDIR /data
RUN chown -R 65532:65532 /data /opt/cache
USER 65532:65532
ENTRYPOINT ["proxima-learner"]
