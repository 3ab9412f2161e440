#!/usr/bin/env bash
# Whether the dashboard shows something: a real attnd with a real model under load, a real Prometheus that scrapes it every second
# with the rules of deploy/, and every query of every panel evaluated.
#
#   ./dev shell deploy/dashboard_test.sh BUILD_DIR [MODEL_FOLDER]        BUILD_DIR: build/release, where bin/attnd is
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=${1:?usage: deploy/dashboard_test.sh BUILD_DIR [MODEL_FOLDER]}
models=${ATTND_CACHE:-$HOME/.cache/attnd}/models
model=${2:-$models/all-MiniLM-L6-v2}
decoder=$models/SmolLM2-135M-Instruct.Q4_1.gguf
bin=$build/bin
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
fail() { printf 'FAIL  %s\n' "$*"; tail -n 20 "$work"/*.log; exit 1; }

# A byte cap that a test text exceeds, and a queue that a large call finds too full, so that the refusals have something to show.
"$bin/attnd" --model "minilm=$model" --model "smollm2=$decoder,precision=int8" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --max-attention-bytes 1MiB --max-queue-requests 400 \
  >"$work/ready.log" 2>"$work/attnd.log" &
attnd=$!
pids+=("$attnd")
for _ in $(seq 200); do
  if grep -q '^attnd ready' "$work/ready.log"; then break; fi
  kill -0 "$attnd" 2>/dev/null || fail "attnd ended before it was ready"
  sleep 0.05
done
address=$(sed -n 's/^attnd ready.* grpc \([^ ]*\).*/\1/p' "$work/ready.log")
metrics=$(sed -n 's/^attnd ready.* metrics \([^ ]*\).*/\1/p' "$work/ready.log")
[ -n "$address" ] && [ -n "$metrics" ] || fail "no ready line"
export ATTN_ADDRESS=$address

# promtool's own opinion of the names and types.
python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' "http://$metrics/metrics" >"$work/metrics.txt"
promtool check metrics <"$work/metrics.txt" || fail "promtool check metrics"

cp -r "$repo/deploy/prometheus/rules" "$work/rules"
sed -e "s/attnd:9464/$metrics/" -e 's/_interval: .*/_interval: 1s/' "$repo/deploy/prometheus/prometheus.yml" >"$work/prometheus.yml"
promtool check config "$work/prometheus.yml" >"$work/promtool.log" 2>&1 || fail "promtool check config"
promtool test rules "$repo/deploy/prometheus/rules_test.yml" >"$work/promtool.log" 2>&1 || fail "promtool test rules"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
pids+=($!)

# The load: embeddings all the time, and in turn maps, statistics, a wrong model, maps over the cap, a full queue, and answers.
long=$(for i in $(seq 60); do printf 'word%d and ' "$i"; done)
"$bin/attn" bench --model minilm --concurrency 16 --texts-per-call 16 --warmup 0 --duration 60 -o json >"$work/bench.log" 2>&1 &
pids+=($!)
while :; do
  "$bin/attn" attend --model minilm "The cat sat on the mat because it was tired." --head L3H7 || true
  "$bin/attn" heads --model minilm "The cat sat on the mat because it was tired." || true
  "$bin/attn" tokenize --model minilm "The cat sat on the mat." || true
  "$bin/attn" embed --model nosuch "The cat sat on the mat." || true
  "$bin/attn" attend --model minilm "$long" --head 'L*H*' || true
  "$bin/attn" bench --model minilm --concurrency 1 --texts-per-call 390 --warmup 0 --duration 0.5 || true
  "$bin/attn" generate --model smollm2 "$long" --max-tokens 16 || true
  sleep 0.2
done >"$work/calls.log" 2>&1 &
pids+=($!)

python3 "$repo/deploy/dashboard_test.py" "$repo/deploy/grafana/dashboards/attnd.json" "http://127.0.0.1:$port" 50 || fail "the dashboard has panels without data"
