# Building, formatting and linting inside the Debian 13 root. Sourced by ./dev.
build_dir() { printf '%s/build/%s\n' "$repo" "$1"; }

# build_preset PRESET [TARGETS...]: configures where needed and builds; a progress line on a terminal, errors in full.
build_preset() {
  local preset=$1 dir log status=0 started=$SECONDS
  shift
  case $preset in dev | release | asan | tsan) ;; *) die "unknown preset '$preset' (dev, release, asan, tsan)" ;; esac
  dir=$(build_dir "$preset")
  log=$dir/build.log
  mkdir -p "$dir"
  hold "build-$preset-$(cksum <<<"$repo" | cut -d" " -f1)"  # of this clone
  # Paths relative to the repository, so that another clone finds the same objects.
  export CCACHE_DIR=${CCACHE_DIR:-$cache/ccache} CCACHE_BASEDIR=$repo CCACHE_NOHASHDIR=1
  if [ ! -e "$dir/build.ninja" ]; then
    (cd "$repo" && cmake --preset "$preset") >"$log" 2>&1 || { cat "$log" >&2; rm -f "$dir/CMakeCache.txt"; die "cmake failed"; }
  fi
  if [ -t 2 ]; then
    NINJA_STATUS='%p %f/%t ' ninja -C "$dir" "$@" 2>&1 | tee "$log" | build_bar >&2 || status=$?
  else
    ninja -C "$dir" "$@" >"$log" 2>&1 || status=$?
  fi
  if [ "$status" -ne 0 ]; then
    grep -vE '^ *[0-9]+% ' "$log" | tail -n 80 >&2
    die "the build failed; all of its output is in $log"
  fi
  if [ $((SECONDS - started)) -gt 1 ]; then say "built $preset in $((SECONDS - started)) s"; fi
  release
}

# One line that ninja's status lines move: a bar, the percentage, the count and the file.
build_bar() {
  awk '{
    if (match($0, /^ *[0-9]+% [0-9]+\/[0-9]+ /)) {
      split($0, f, " "); p = f[1] + 0; bar = ""
      for (i = 0; i < 20; i++) bar = bar (i < p / 5 ? "█" : "░")
      printf "\r\033[Kbuild  %s %3d %%  %s  %s", bar, p, f[2], substr($NF, 1, 60); fflush()
    }
  } END { printf "\r\033[K" }'
}

# Those that are there: one just removed may still be in git's index.
format_files() {
  git -C "$repo" ls-files --cached --others --exclude-standard '*.cc' '*.h' | grep -v '^core/text/ffi/target' |
    while read -r f; do [ ! -e "$repo/$f" ] || printf '%s\n' "$repo/$f"; done
}
format_run() {
  if [ "${1:-}" = --check ]; then format_files | xargs clang-format --dry-run --Werror
  else format_files | xargs clang-format -i; fi
}

lint_run() {
  local files
  files=$( (cd "$repo" && git ls-files '*.cc') | grep -E "${1:-.}" | sed "s|^|$repo/|")
  printf '%s\n' "$files" | xargs -P 2 -n 4 clang-tidy --quiet -p "$(build_dir dev)"
}
