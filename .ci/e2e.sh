# The Python environment of the end-to-end tests. Sourced by ./dev, inside the Debian 13 root.
# e2e_prepare: makes sure that $cache/e2e-venv holds what tests/e2e/requirements.txt names. A folder under its final name is
# whole: it is made under another name and renamed last; a changed list makes it anew.
e2e_prepare() {
  local venv=$cache/e2e-venv list=$repo/tests/e2e/requirements.txt
  if cmp -s "$list" "$venv/requirements.txt"; then return; fi
  hold e2e-venv
  if ! cmp -s "$list" "$venv/requirements.txt"; then e2e_make "$venv" "$list"; fi
  release
}

e2e_make() {
  local venv=$1 list=$2 partial=$1.partial log=$cache/e2e-venv.log started=$SECONDS
  say "fetching the Python packages of the end-to-end tests (once)"
  rm -rf "$partial"
  # Nothing is run through the scripts of bin/, whose first lines name the folder that they were made in.
  { python3 -m venv "$partial" &&
    "$partial/bin/python" -m pip install --no-input --disable-pip-version-check --only-binary :all: --requirement "$list"; } >"$log" 2>&1 || {
    tail -n 3 "$log" >&2
    die "cannot install $list: is there a network (or a proxy to set)? All of the output is in $log"
  }
  cp "$list" "$partial/requirements.txt"
  rm -rf "$venv"
  mv "$partial" "$venv"
  say "fetched them in $((SECONDS - started)) s"
}
