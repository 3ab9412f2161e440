#!/bin/sh
# run.sh FILE [ARGS...]: one file of end-to-end tests under the Python that has what they need.
python=${ATTND_E2E_PYTHON:-${ATTND_CACHE:-$HOME/.cache/attnd}/e2e-venv/bin/python}
if [ ! -x "$python" ]; then
  echo "run.sh: $python is not there: run ./dev test, or set ATTND_E2E_PYTHON to a Python that has requirements.txt" >&2
  exit 1
fi
exec "$python" -B "$@"
