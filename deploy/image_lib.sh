# What image.sh and image_test.sh share. Sourced; `repo` is set.
cache=${ATTND_CACHE:-$HOME/.cache/attnd}
storage=$cache/containers
base_image=localhost/attnd-base:trixie-slim

die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
say() { printf '%s\n' "$*" >&2; }

# The first engine that answers.
image_engine() {
  local e
  for e in docker podman; do
    if command -v "$e" >/dev/null && "$e" info >/dev/null 2>&1; then echo "$e"; return; fi
  done
  echo buildah
}

# buildah with a store of its own. vfs copies where overlay mounts are not allowed, as inside a chroot.
buildah_run() { buildah --root "$storage/store" --runroot "$storage/run" --storage-driver vfs "$@"; }

# own_root SCRIPT ARGS...: in a chroot `/` is no mount point, and buildah changes how `/` propagates mounts, which only a mount
# point can: there the script starts again with the same root, bound to itself, in a mount namespace of its own.
own_root() {
  if awk '$5 == "/" {found = 1} END {exit !found}' /proc/self/mountinfo; then return; fi
  [ "$(id -u)" = 0 ] || die "inside a chroot this needs root"
  mkdir -p /run/attnd-root
  exec unshare --mount --propagation unchanged sh -euc '
    mount --rbind / /run/attnd-root
    mount --make-rprivate /run/attnd-root
    cwd=$PWD
    exec chroot /run/attnd-root env -C "$cwd" "$@"' sh "$@"
}

# Installs what building without a daemon takes: buildah (which asks for netavark even where it makes no network), and
# debootstrap for the base.
buildah_ready() {
  local missing=() p
  for p in buildah debootstrap netavark; do
    command -v "$p" >/dev/null || [ -x "/usr/sbin/$p" ] || [ -x "/usr/lib/podman/$p" ] || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || die "no docker, podman or buildah here, and no apt-get to install buildah with; try ./dev image"
  [ "$(id -u)" = 0 ] || die "no docker, podman or buildah here; installing buildah needs root: run ./dev image as root"
  say "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$cache/apt-image.log" 2>&1 || die "apt-get failed; see $cache/apt-image.log"
}

# Debian 13, minimal, straight from the distribution's packages: there is no daemon that could pull it. Made under another name
# and committed last, so that a base made half is never used.
base_ready() {
  if buildah_run images --quiet "$base_image" >/dev/null 2>&1; then return; fi
  local partial=$storage/base.partial mirror container mount started=$SECONDS
  say "making the base image (once, about a minute)"
  mirror=$(sed -n 's/^deb \(http[^ ]*\) .*/\1/p; s/^URIs: *\(http[^ ]*debian\/*\) *$/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -E '/debian/?$' | head -n 1 || true)
  rm -rf --one-file-system "$partial"
  mkdir -p "$partial"
  PATH=$PATH:/usr/sbin:/sbin debootstrap --variant=minbase trixie "$partial" ${mirror:+"$mirror"} >"$cache/debootstrap-image.log" 2>&1 ||
    die "debootstrap failed; see $cache/debootstrap-image.log"
  # As the distribution's own slim images: no manuals, documentation or translations, and none from later packages.
  printf 'path-exclude %s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/groff/*' \
    '/usr/share/lintian/*' >"$partial/etc/dpkg/dpkg.cfg.d/docker"
  printf 'Acquire::Languages "none";\n' >"$partial/etc/apt/apt.conf.d/docker-no-languages"
  (cd "$partial" && find usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/groff usr/share/lintian \
    -mindepth 1 -delete 2>/dev/null || true
   rm -rf var/cache/apt/archives/*.deb var/cache/apt/*.bin var/lib/apt/lists/* var/log/*)
  container=$(buildah_run from scratch)
  mount=$(buildah_run mount "$container")
  cp -a "$partial/." "$mount/"  # owners and modes as they are, which `buildah add` would not keep
  rm -rf "$mount/dev" && mkdir "$mount/dev"
  buildah_run config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah_run commit --quiet --format docker --rm "$container" "$base_image" >/dev/null
  rm -rf --one-file-system "$partial"
  say "base image ready ($((SECONDS - started)) s)"
}

image_size() {
  case $1 in
    buildah) buildah_run images --format '{{.Size}}' "$2" ;;
    *) printf '%d MB' $(($("$1" image inspect --format '{{.Size}}' "$2") / 1000000)) ;;
  esac
}
