# `./dev demo`: from nothing to a served model, a similarity matrix, a head and the latency metrics. Sourced by ./dev.
demo_run() {
  local started=$SECONDS dir log
  . "$repo/.ci/models.sh"
  say "[2/5] build"
  build_preset release attnd attn
  say "[3/5] model all-MiniLM-L6-v2"
  models_fetch
  dir=$(build_dir release)/bin
  log=$(mktemp -d)/attnd.log

  say "[4/5] serve"
  "$dir/attnd" --model "minilm=$cache/models/all-MiniLM-L6-v2" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 >"$log" 2>&1 &
  demo_server=$!
  trap 'kill "$demo_server" 2>/dev/null; wait "$demo_server" 2>/dev/null; rm -rf "$(dirname "$log")"' EXIT
  trap 'exit 130' INT TERM
  local line=
  for _ in $(seq 200); do
    line=$(grep -m1 '^attnd ready' "$log" || true)
    [ -n "$line" ] && break
    kill -0 "$demo_server" 2>/dev/null || { cat "$log" >&2; die "attnd did not start"; }
    sleep 0.05
  done
  [ -n "$line" ] || { cat "$log" >&2; die "attnd did not become ready in 10 s"; }
  printf '%s\n' "$line"
  local address metrics
  address=$(sed -nE 's/.* grpc ([^ ]+).*/\1/p' <<<"$line")
  metrics=$(sed -nE 's/.* metrics ([^ ]+).*/\1/p' <<<"$line")
  export ATTN_ADDRESS=$address

  say "[5/5] ask it"
  demo_show embed --similarity "A cat sat on the mat." "A kitten rests on a rug." "The market fell by 3 %."
  demo_show attend "The cat sat on the mat because it was tired." --head L5H4
  "$dir/attn" bench --duration 2 --concurrency 2 >/dev/null  # so that the latencies below are of more than two calls
  demo_show stats --once --metrics "$metrics"
  kill "$demo_server"
  wait "$demo_server" || die "attnd did not stop cleanly; see $log"
  trap - EXIT
  rm -rf "$(dirname "$log")"

  cat <<TEXT

That was a real server, embedding and showing its attention; it took $((SECONDS - started)) s in all. What to type next:

  ./dev attnd --model minilm=$cache/models/all-MiniLM-L6-v2     serve it (or any Hugging Face folder of a BERT encoder)
  ./dev attn heads "The cat sat on the mat."                            all heads of a text, in another terminal
  ./dev attn attend "…" --head L5H4 --svg head.svg                      a picture of one
  ./dev test                                                            the tests
TEXT
}

# Shows a command as a user would type it, and runs it.
demo_show() {
  local word line='$ attn'
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_.:/-]*) line+=" \"$word\"" ;; *) line+=" $word" ;; esac
  done
  printf '\n%s\n' "$line"
  "$(build_dir release)/bin/attn" "$@"
}
