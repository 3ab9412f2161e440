#!/usr/bin/env bash
# Runs the image as it is deployed (read-only root, numeric user, no capabilities, no new privileges) with a real model, calls it
# with the image's own client, and stops it with its stop signal.
#
#   deploy/image_test.sh [--engine docker|podman|buildah] [--tag NAME:TAG] [MODEL_FOLDER]
#
# Where there is no engine, the file system that buildah made is entered by chroot, with what the image says (entrypoint,
# environment, user, stop signal): run it as `./dev shell deploy/image_test.sh`.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=image_lib.sh
. "$repo/deploy/image_lib.sh"
own_root "$0" "$@"

engine='' tag='' model=$cache/models/all-MiniLM-L6-v2
while [ $# -gt 0 ]; do
  case $1 in
    --engine) engine=$2; shift 2 ;;
    --tag) tag=$2; shift 2 ;;
    *) model=$1; shift ;;
  esac
done
version=$(sed -n 's/^project(attnd VERSION \([0-9.]*\).*/\1/p' "$repo/CMakeLists.txt")
tag=${tag:-attnd:$version}
[ -n "$engine" ] || engine=$(image_engine)
[ -e "$model/model.safetensors" ] || die "no model in $model: run ./dev models"
work=$(mktemp -d)

pass() { printf 'ok    %s\n' "$*"; }
fail() { printf 'FAIL  %s\n' "$*"; sed 's/^/  attnd: /' "$work/log" 2>/dev/null || true; exit 1; }

# --- the two ways to run: each defines start, in_image COMMAND..., signal, wait_exit, cleanup, has_exited ---------------------
if [ "$engine" = buildah ]; then
  command -v buildah >/dev/null || die "no buildah here: build the image first (./dev image)"
  field() { buildah_run inspect --type image --format "{{.Docker.Config.$1}}" "$tag"; }
  user=$(field User) stop_signal=$(field StopSignal)
  entrypoint=$(buildah_run inspect --type image --format '{{range .Docker.Config.Entrypoint}}{{.}} {{end}}' "$tag")
  mapfile -t environment < <(buildah_run inspect --type image --format '{{range .Docker.Config.Env}}{{println .}}{{end}}' "$tag" | grep .)
  health_check=$(buildah_run inspect --type image --format '{{range .Docker.Config.Healthcheck.Test}}{{.}} {{end}}' "$tag")
  container=$(buildah_run from --pull=never "$tag")
  rootfs=$(buildah_run mount "$container")
  # Read-only, as the user, without capabilities, in a network of its own.
  cat >"$work/enter" <<'IN'
set -eu
rootfs=$1 model=$2; shift 2
mount --bind "$rootfs" "$rootfs"
mount -t proc proc "$rootfs/proc"
for d in null zero random urandom; do :>"$rootfs/dev/$d"; mount --bind "/dev/$d" "$rootfs/dev/$d"; done
mkdir -p "$rootfs/models/minilm"
mount --bind "$model" "$rootfs/models/minilm"
mount -o remount,bind,ro "$rootfs/models/minilm"
mount -o remount,bind,ro "$rootfs"
ip link set lo up
cd "$rootfs"
exec env -i "$@"
IN
  as_user=(setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all)
  start() {
    unshare --mount --net --propagation private sh "$work/enter" "$rootfs" "$model" "${environment[@]}" \
      ATTND_MODEL=minilm=/models/minilm chroot "$rootfs" "${as_user[@]}" $entrypoint >"$work/log" 2>&1 &
    pid=$!
  }
  in_image() { nsenter --target "$pid" --mount --net --root --wd env -i "${environment[@]}" "${as_user[@]}" "$@"; }
  has_exited() { ! kill -0 "$pid" 2>/dev/null; }
  signal() { kill -s "${stop_signal#SIG}" "$pid"; }
  wait_exit() { local status=0; wait "$pid" || status=$?; echo "$status" >"$work/status"; }
  status_file() { cat "/proc/$pid/status"; }
  cleanup() {
    if [ -n "${pid:-}" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    buildah_run rm "$container" >/dev/null 2>&1 || true
    rm -rf "$work"
  }
else
  inspect() { "$engine" image inspect --format "$1" "$tag"; }
  user=$(inspect '{{.Config.User}}') stop_signal=$(inspect '{{.Config.StopSignal}}')
  entrypoint=$(inspect '{{range .Config.Entrypoint}}{{.}} {{end}}')
  health_check=$("$engine" image inspect --format '{{range .Config.Healthcheck.Test}}{{.}} {{end}}' "$tag")
  start() {
    container=$("$engine" run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
      --volume "$model:/models/minilm:ro" --env ATTND_MODEL=minilm=/models/minilm "$tag")
  }
  in_image() { "$engine" exec "$container" "$@"; }
  has_exited() { [ "$("$engine" inspect --format '{{.State.Running}}' "$container")" != true ]; }
  signal() { "$engine" kill --signal "$stop_signal" "$container" >/dev/null; }
  wait_exit() { "$engine" wait "$container" >"$work/status"; }
  status_file() { "$engine" exec "$container" cat /proc/1/status; }
  cleanup() {
    if [ -n "${container:-}" ]; then
      "$engine" logs "$container" >"$work/log" 2>&1 || true
      "$engine" rm --force "$container" >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
  }
fi
trap cleanup EXIT

[ "$user" = 65532:65532 ] && pass "numeric user $user" || fail "user is '$user'"
[ "$entrypoint" = "attnd " ] && pass "entrypoint $entrypoint" || fail "entrypoint is '$entrypoint'"
[ "$health_check" = "CMD attn health " ] && pass "health check: $health_check" || fail "health check is '$health_check'"

start
# The image's own health check tells when it is up.
for _ in $(seq 100); do
  if in_image attn health >"$work/health" 2>&1; then break; fi
  if has_exited; then fail "attnd ended before it was ready"; fi
  sleep 0.1
done
grep -q SERVING "$work/health" && ! grep -q NOT_SERVING "$work/health" && pass "health: $(cat "$work/health")" || fail "health: $(cat "$work/health")"

status_file >"$work/proc"
[ "$(awk '/^Uid:/{print $2, $3}' "$work/proc")" = "65532 65532" ] && pass "runs as 65532" || fail "runs as $(grep ^Uid: "$work/proc")"
[ "$(awk '/^Cap(Prm|Eff|Bnd):/{print $2}' "$work/proc" | sort -u)" = 0000000000000000 ] && pass "without capabilities" || fail "capabilities: $(grep ^Cap "$work/proc")"
[ "$(awk '/^NoNewPrivs:/{print $2}' "$work/proc")" = 1 ] && pass "no new privileges" || fail "new privileges are possible"
if in_image sh -c ': >/etc/probe' 2>/dev/null || in_image sh -c ': >/tmp/probe' 2>/dev/null; then fail "the root can be written"; else pass "the root is read-only"; fi

in_image attn embed --format jsonl "A cat sat on the mat." "The market fell by 3 %." >"$work/vectors" 2>"$work/errors" || fail "attn embed: $(cat "$work/errors")"
[ "$(wc -l <"$work/vectors")" = 2 ] || fail "attn embed gave $(wc -l <"$work/vectors") lines"
dimensions=$(head -n 1 "$work/vectors" | sed 's/.*"embedding": *\[\([^]]*\)\].*/\1/' | tr ',' '\n' | grep -cE '^ *-?[0-9]')
[ "$dimensions" = 384 ] && pass "attn embed: 2 vectors of 384" || fail "the first vector has $dimensions numbers: $(head -c 200 "$work/vectors")"
in_image attn heads "The cat sat on the mat." >"$work/heads" 2>"$work/errors" || fail "attn heads: $(cat "$work/errors")"
pass "attn heads: $(wc -l <"$work/heads") lines"
in_image attn stats --once >"$work/stats" 2>"$work/errors" || fail "attn stats: $(cat "$work/errors")"
pass "attn stats reads the metrics"

signal
wait_exit
[ "$(cat "$work/status")" = 0 ] && pass "$stop_signal: drained, exit 0" || fail "$stop_signal: exit $(cat "$work/status")"
printf '%s, by %s: %s\n' "$tag" "$engine" "$(image_size "$engine" "$tag")"
