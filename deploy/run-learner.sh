#!/bin/sh
# Starts a run, or goes on with it from its last checkpoint: for whatever starts the same command again after a crash or a reboot
# (systemd, Compose, Kubernetes). In the folder where runs/ lies:
#   proxima-learner RUN [--key value]…
set -eu
case "${1-}" in
  '' | *[!A-Za-z0-9_-]*)
    echo "proxima-learner: expected the run's name (letters, digits, - or _) and settings, found '${1-}'" >&2
    exit 2
    ;;
esac
run=$1
shift
if [ -n "$(find "runs/$run/checkpoints" -name '*.safetensors' 2>/dev/null | head -n 1)" ]; then
  exec "${PROXIMA:-proxima}" learner --run "$run" --resume "$@"
fi
# Without a checkpoint nothing was trained that could be lost: begin again.
rm -rf "runs/$run"
exec "${PROXIMA:-proxima}" learner --run "$run" "$@"
