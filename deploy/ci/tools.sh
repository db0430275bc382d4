#!/usr/bin/env bash
# Builds what checks the deployment files into .cache/deploy-tools, once, and prints that folder. Needs Go and its module proxy.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/deploy-tools
mkdir -p "$folder"
export GOBIN=$folder GOFLAGS=-mod=mod
[ -x "$folder/helm" ] || go install helm.sh/helm/v3/cmd/helm@v3.22.0 >&2
if [ ! -x "$folder/compose" ]; then
  go install github.com/compose-spec/compose-go/v2/cmd@v2.16.2 >&2
  mv "$folder/cmd" "$folder/compose"
fi
[ -x "$folder/manifests" ] || (cd deploy/ci/manifests && GOFLAGS=-mod=readonly go build -buildvcs=false -o "$folder/manifests" . >&2)
echo "$folder"
