# The Debian 13 root: made once, entered by chroot with the repository mounted at its own path. Sourced by ./dev.
root=$cache/root
packages_file=$repo/.ci/packages

root_packages() { grep -v '^#' "$packages_file"; }
root_stamp() { sha256sum <"$packages_file" | cut -c1-16; }

# Debian 13 or later (or already inside the root) with every package there, installing what is missing where allowed.
root_is_native() {
  if [ -e /.attnd-root ]; then return 0; fi
  . /etc/os-release
  [ "${ID:-}" = debian ] && [ "${VERSION_ID%%.*}" -ge 13 ] 2>/dev/null || return 1
  local missing prometheus
  missing=$(root_packages | xargs dpkg-query -W -f='${Status} ${Package}\n' 2>&1 | grep -v '^install ok installed' || true)
  [ -z "$missing" ] && return 0
  as_root true
  say "installing Debian packages"
  as_root apt-get update -qq
  prometheus=$(dpkg-query -W prometheus 2>/dev/null || true)
  root_packages | as_root env DEBIAN_FRONTEND=noninteractive xargs apt-get install -y -qq --no-install-recommends >"$cache/apt.log" 2>&1 ||
    die "apt-get failed; see $cache/apt.log"
  # The tests start their own: the package's service would have port 9090 from now on, which deploy/compose.yaml takes.
  [ -n "$prometheus" ] || as_root systemctl disable --now prometheus.service >>"$cache/apt.log" 2>&1 || true
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "this needs root once, to install packages or make the Debian 13 root, and there is no sudo. Run ./dev as root, or install sudo."
  fi
}

# The mirror the host itself uses, so that a proxied or local mirror serves the root too.
root_mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | awk '$1=="deb"{for(i=2;i<=NF;i++)if($i~/^https?:/){print $i;break}}'
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '$1=="URIs:"{print $2}'; } |
    grep -E '/debian/?$' | head -n 1 | grep . || echo http://deb.debian.org/debian
}

# Makes the root under another name and renames it when whole: a root made half is never used.
root_ensure() {
  if [ -e "$root/.attnd-root" ] && [ "$(cat "$root/.attnd-root")" = "$(root_stamp)" ]; then return; fi
  as_root true
  if [ ! -e "$root/.attnd-root" ]; then
    local partial=$cache/root.partial started=$SECONDS
    say "[1/5] Debian 13 root              (once, about two minutes)"
    as_root rm -rf --one-file-system "$partial" "$root"
    if ! command -v debootstrap >/dev/null && [ ! -x /usr/sbin/debootstrap ]; then
      command -v apt-get >/dev/null || die "debootstrap is not installed, and there is no apt-get to install it with; install debootstrap"
      as_root apt-get update -qq
      as_root apt-get install -y -qq --no-install-recommends debootstrap >"$cache/apt.log" 2>&1 || die "cannot install debootstrap; see $cache/apt.log"
    fi
    as_root env PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase trixie "$partial" "$(root_mirror)" >"$cache/debootstrap.log" 2>&1 ||
      die "debootstrap failed; see $cache/debootstrap.log"
    root_install "$partial"
    as_root mv "$partial" "$root"
    say "[1/5] Debian 13 root              ready ($((SECONDS - started)) s)"
  else
    say "updating the packages of the Debian 13 root"
    root_install "$root"
  fi
}

# Installs the package list into the root at $1 and stamps it last.
root_install() {
  as_root rm -f "$1/.attnd-root"
  root_packages | tr '\n' ' ' | as_root tee "$1/.attnd-packages" >/dev/null
  as_root find /etc/apt/apt.conf.d -maxdepth 1 -type f ! -name '*docker*' -exec grep -lE '^Acquire' {} + 2>/dev/null |
    while read -r f; do as_root cp "$f" "$1/etc/apt/apt.conf.d/"; done
  root_mounted "$1" chroot "$1" sh -euc '
    export DEBIAN_FRONTEND=noninteractive
    dpkg --configure -a
    apt-get update -qq
    xargs apt-get install -y -qq --no-install-recommends </.attnd-packages
    apt-get clean' >"$cache/apt.log" 2>&1 || die "installing packages failed; see $cache/apt.log"
  # A proxy with its own authority must be trusted inside too.
  [ -e /etc/ssl/certs/ca-certificates.crt ] && as_root cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
  root_stamp | as_root tee "$1/.attnd-root" >/dev/null
}

# A prelude for as_root: arguments ROOT CACHE REPOSITORY CWD COMMAND...
mounted=(unshare --mount --propagation private sh -euc '
    r=$1 cache=$2 repo=$3 cwd=$4; shift 4
    cp -L /etc/resolv.conf /etc/hosts "$r/etc/" 2>/dev/null || true
    mount -t proc proc "$r/proc"
    mount --rbind /sys "$r/sys"
    mount --rbind /dev "$r/dev"
    # The host folders that are not the system itself, at their own paths, so that any path a user types works inside.
    for d in /*; do
      case $d in /bin | /boot | /dev | /etc | /lib* | /proc | /run | /sbin | /sys | /usr | /var | /lost+found) continue ;; esac
      [ -d "$d" ] && [ ! -L "$d" ] && mkdir -p "$r$d" && mount --rbind "$d" "$r$d"
    done
    for d in "$cache" "$repo" "$cwd"; do
      [ -e "$r$d/." ] || { mkdir -p "$r$d" && mount --bind "$d" "$r$d"; }
    done
    exec "$@"')

# root_mounted ROOT COMMAND...: runs COMMAND with ROOT's kernel file systems, the cache and the repository mounted, all inside a
# mount namespace of this call: nothing stays mounted whatever ends it.
root_mounted() {
  local r=$1; shift
  as_root "${mounted[@]}" sh "$r" "$cache" "$repo" "$PWD" "$@"
}

# Enters the root as the calling user, in the calling folder, with the calling environment (proxies, pip and cargo settings).
# Does not return.
root_enter() {
  local uid=${SUDO_UID:-$(id -u)} gid=${SUDO_GID:-$(id -g)} f
  mkdir -p "$cache/cargo"
  for f in config config.toml; do
    [ -e "${CARGO_HOME:-$HOME/.cargo}/$f" ] && cp "${CARGO_HOME:-$HOME/.cargo}/$f" "$cache/cargo/"
  done
  for f in "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" /etc/pip.conf; do
    [ -e "$f" ] && export PIP_CONFIG_FILE=$cache/pip.conf && cp "$f" "$cache/pip.conf" && break
  done
  # sudo drops the environment, so what the verbs need is named here.
  local keep=() v
  while IFS= read -r v; do keep+=("$v=${!v}"); done < <(compgen -e | grep -iE '^(https?_proxy|no_proxy|all_proxy|PIP_|CARGO_(HTTP|NET|REG)|SSL_CERT|REQUESTS_CA|CURL_CA|GIT_SSL|ATTND?_|ATTN_|CI$|TERM$|COLORTERM$|NO_COLOR$|COLUMNS$|LANG$|ONEDNN_|GRPC_|GOPROXY$|GOSUMDB$|GOFLAGS$)')
  local enter=(exec)
  [ "$(id -u)" = 0 ] || enter=(exec sudo)
  "${enter[@]}" "${mounted[@]}" sh "$root" "$cache" "$repo" "$PWD" chroot --userspec="$uid:$gid" "$root" /usr/bin/env -i HOME="$HOME" USER="${USER:-root}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_HOME="$cache/cargo" CCACHE_DIR="$cache/ccache" "${keep[@]}" /usr/bin/env -C "$PWD" "$@"
}
