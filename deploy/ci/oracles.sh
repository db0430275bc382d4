#!/usr/bin/env bash
# Makes a Python with the oracles of oracles.txt in .cache/oracles, once, and prints the path of its interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/oracles
wanted=deploy/ci/oracles.txt
if ! cmp -s "$wanted" "$folder/installed.txt"; then
  python3 -m venv --clear "$folder" >&2
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" >&2
  # Its own list also brings pages and clients of language models, which no test needs.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps openenv-core==0.3.0 >&2
  cp "$wanted" "$folder/installed.txt"
fi
echo "$folder/bin/python"
