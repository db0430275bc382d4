#!/bin/sh
# Starts a run, or goes on with it from its last checkpoint: for whatever starts the same command again after a crash or a reboot
# (systemd, Compose, Kubernetes). In the folder where runs/ lies:
#   proxima-learner RUN [--key value]…
set -eu
if [ $# -eq 0 ]; then
  echo "proxima-learner: name the run: proxima-learner RUN [--key value]…" >&2
  exit 2
fi
run=$1
shift
if [ -n "$(find "runs/$run/checkpoints" -name '*.safetensors' 2>/dev/null | head -n 1)" ]; then
  exec "${PROXIMA:-proxima}" learner --run "$run" --resume "$@"
fi
# Without a checkpoint nothing was trained that could be lost: begin again.
[ -n "$run" ] && rm -rf "runs/$run"
exec "${PROXIMA:-proxima}" learner --run "$run" "$@"
