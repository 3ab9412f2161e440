# `./dev test`: everything CI runs. Sourced by ./dev, inside the Debian 13 root.
#   ./dev test            format check, build, unit, golden, e2e and a short fuzz
#   ./dev test asan|tsan  the unit and golden tests under a sanitizer
#   ./dev test NAME       the tests whose names match NAME (a ctest regular expression)
test_run() {
  local preset=dev name=${1:-} select=() again=()
  case $name in
    asan | tsan) preset=$name; select=(-E '^(e2e|fuzz)\.') ;;
    ?*) select=(-R "$name") ;;
  esac
  models_fetch
  export ATTND_MODELS=$cache/models
  if [ -z "$name" ]; then
    say "format check"
    format_run --check || die "run ./dev format"
  fi
  build_preset "$preset"
  if [ "$preset" = dev ]; then
    . "$repo/.ci/e2e.sh"
    e2e_prepare
  fi
  # CI's machines are busy: a test that fails there is tried once more, and the first failure stays in the log.
  [ -z "${CI:-}" ] || again=(--repeat until-pass:2)
  # A sanitizer's report is a failure; oneDNN's OpenMP runtime keeps its pool, which is not ours to free.
  export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 LSAN_OPTIONS=suppressions=$repo/.ci/lsan.supp
  export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=suppressions=$repo/.ci/tsan.supp
  ctest --test-dir "$(build_dir "$preset")" --output-on-failure --parallel 2 --no-tests=error "${again[@]}" "${select[@]}"
}
