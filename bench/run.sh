#!/usr/bin/env bash
# `./dev bench [ROUNDS]`: attnd beside ONNX Runtime on real texts (bench/README.md). Argument 1: the release build's folder.
set -euo pipefail
build=$1
rounds=${2:-5}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cache=${ATTND_CACHE:-$HOME/.cache/attnd}
model=$cache/models/all-MiniLM-L6-v2
venv=$cache/bench-venv
work=$cache/bench
mkdir -p "$work"
if [ ! -e "$venv/.ready" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r "$here/requirements.txt"
  touch "$venv/.ready"
fi
cd "$work"
[ -e texts.json ] || MINILM=$model "$venv/bin/python" "$here/texts.py"
[ -e minilm.onnx ] || "$venv/bin/python" "$here/make_onnx.py" "$model" minilm.onnx
exec "$venv/bin/python" "$here/encoder_vs_onnxruntime.py" "$build/bin" "$model" texts.json minilm.onnx "$rounds"
