#!/usr/bin/env bash
# Builds the container image `attnd` from the Dockerfile, by docker or podman where one runs, else by buildah, which needs no
# daemon and works inside a chroot too. Called by `./dev image`; called by itself it sees the host's docker.
#
#   deploy/image.sh [--engine docker|podman|buildah] [--tag NAME:TAG]
#
# With buildah the image is also written to build/image/attnd.tar, for `docker load` or `podman load`.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=image_lib.sh
. "$repo/deploy/image_lib.sh"
own_root "$0" "$@"

engine='' tag=''
while [ $# -gt 0 ]; do
  case $1 in
    --engine) engine=${2:?--engine takes docker, podman or buildah}; shift 2 ;;
    --tag) tag=${2:?--tag takes NAME:TAG}; shift 2 ;;
    *) die "unknown argument '$1' (--engine, --tag)" ;;
  esac
done
version=$(sed -n 's/^project(attnd VERSION \([0-9.]*\).*/\1/p' "$repo/CMakeLists.txt")
revision=$(git -C "$repo" -c safe.directory="$repo" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
tag=${tag:-attnd:$version}
[ -n "$engine" ] || engine=$(image_engine)

# What the build needs to know of this host: its certificates and its package and cargo settings, as secrets, which stay out
# of the image. (Proxies in the environment are passed on by the engines themselves.)
secrets_dir=$(mktemp -d)
trap 'rm -rf "$secrets_dir"' EXIT
secrets=()
secret() { secrets+=(--secret "id=$1,src=$2"); }
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then secret ca /etc/ssl/certs/ca-certificates.crt; fi
find /etc/apt/apt.conf.d -maxdepth 1 -type f -exec grep -hE '^Acquire' {} + >"$secrets_dir/apt" 2>/dev/null || true
if [ -s "$secrets_dir/apt" ]; then secret apt "$secrets_dir/apt"; fi
for f in "${CARGO_HOME:-$HOME/.cargo}/config.toml" "${CARGO_HOME:-$HOME/.cargo}/config"; do
  if [ -s "$f" ]; then secret cargo "$f"; break; fi
done
arguments=(--file "$repo/Dockerfile" --tag "$tag" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "${secrets[@]}")

started=$SECONDS
case $engine in
  docker) DOCKER_BUILDKIT=1 docker build "${arguments[@]}" "$repo" ;;
  podman) podman build --format docker "${arguments[@]}" "$repo" ;;
  buildah)
    buildah_ready
    base_ready
    # Without the right to raise limits, buildah's own wish for descriptors and processes would be refused.
    limits=(--ulimit "nofile=$(ulimit -Sn):$(ulimit -Hn)")
    if [ "$(ulimit -Hu)" != unlimited ]; then limits+=(--ulimit "nproc=$(ulimit -Su):$(ulimit -Hu)"); fi
    buildah_run build "${limits[@]}" --isolation chroot --network host --pull=never --layers --format docker \
      --build-arg "BASE=$base_image" "${arguments[@]}" "$repo"
    mkdir -p "$repo/build/image"
    rm -f "$repo/build/image/attnd.tar"
    buildah_run push --quiet "$tag" "docker-archive:$repo/build/image/attnd.tar:$tag"
    ;;
  *) die "unknown engine '$engine' (docker, podman, buildah)" ;;
esac
printf '%s by %s in %d s, %s\n' "$tag" "$engine" $((SECONDS - started)) "$(image_size "$engine" "$tag")"
if [ "$engine" = buildah ]; then printf 'load it elsewhere: docker load -i build/image/attnd.tar\n'; fi
printf 'test it: deploy/image_test.sh   serve: docker run --read-only -p 50051:50051 -v DIR:/models/NAME:ro %s --model NAME=/models/NAME\n' "$tag"
