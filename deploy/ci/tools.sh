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
# Built again whenever its source has changed.
if [ ! "$folder/manifests" -nt deploy/ci/manifests/main.go ]; then
  (cd deploy/ci/manifests && GOFLAGS=-mod=readonly go build -buildvcs=false -o "$folder/manifests" . >&2)
fi
# KEDA's published schema of what scales the actors.
if [ ! -f "$folder/scaledobjects.yaml" ]; then
  keda=$(go mod download -json github.com/kedacore/keda/v2@v2.21.0 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp "$keda/config/crd/bases/keda.sh_scaledobjects.yaml" "$folder/scaledobjects.yaml"
fi
echo "$folder"
