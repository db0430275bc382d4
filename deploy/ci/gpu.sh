#!/usr/bin/env bash
# What tests of the devices need, once: the packages from npm, and TensorFlow's addon against the CPU wheel from PyPI, kept in
# .cache. A part that cannot be had is said and left out; its tests skip.
set -uo pipefail
cd "$(dirname "$0")/../.."
wheel=tensorflow-cpu==2.21.0
folder=$PWD/.cache/tensorflow

bun deploy/proxima.ts gpu install webgpu tensorflow || exit 1
[ -e /usr/lib/chromium/libvk_swiftshader.so ] || echo "no SwiftShader (Debian's chromium): tests of webgpu skip"

if ! command -v g++ >/dev/null || ! command -v python3 >/dev/null; then
  echo "no g++ or no python3: tests of tensorflow skip"
  exit 0
fi
if [ "$(cat "$folder/installed.txt" 2>/dev/null)" != "$wheel" ]; then
  rm -rf "$folder"
  python3 -m venv "$folder" && "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$wheel" ||
    { echo "no $wheel for this python: tests of tensorflow skip"; exit 0; }
  echo "$wheel" >"$folder/installed.txt"
fi
bun deploy/proxima.ts gpu build-addon --tensorflow "$(echo "$folder"/lib/python3.*/site-packages/tensorflow)"
