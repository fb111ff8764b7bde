#!/bin/sh
# Installs a part of kat-serving into an image, from the lock file, as /opt/kat. A Dockerfile runs it as tools/cluster does.
#
# usage: install.sh dependencies EXTRA...   what the part needs: changes rarely, and is nearly all of the size
#        install.sh model                   the default model, converted: /opt/models
#        install.sh project EXTRA...        the part itself, over the dependencies
#
# SOURCE     the repository (/src)
# UV         the uv command (uv)
# CPU_ONLY   if set, CUDA's libraries stay out, which are most of the size. torch still wants to find them: see cuda_stubs.py
# OMIT       packages of the extras that this image does without
set -eu
source=${SOURCE:-/src}
step=$1
shift

install() {
  for extra in "$@"; do
    flags="$flags --extra $extra"
  done
  for name in ${OMIT:-}; do
    flags="$flags --no-install-package $name"
  done
  if [ -n "${CPU_ONLY:-}" ]; then
    # The runtime and its profiler are small, and torch calls them on any machine.
    for name in $(sed -n 's/^name = "\(nvidia-[a-z0-9-]*\|triton\)"$/\1/p' "$source/uv.lock" | sort -u |
      grep -v -x -e nvidia-cuda-runtime -e nvidia-cuda-cupti); do
      flags="$flags --no-install-package $name"
    done
  fi
  # shellcheck disable=SC2086 - flags are words
  UV_PROJECT_ENVIRONMENT=/opt/kat UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    "${UV:-uv}" sync --quiet --frozen --no-editable --compile-bytecode --python /usr/bin/python3 --project "$source" \
    $flags
}

case $step in
  dependencies)
    flags=--no-install-project
    install "$@"
    ;;
  project)
    flags=
    install "$@"
    ;;
  model)
    mkdir -p /opt/models
    PYTHONPATH="$source:$source/predictor" PYTHONDONTWRITEBYTECODE=1 /opt/kat/bin/python -c '
from pathlib import Path
from kat_predictor.engines.default_model import default_model
default_model(Path("/opt/models"), progress=print)'
    chmod -R a+rX /opt/models
    ;;
  *)
    echo "install.sh: no such step: $step" >&2
    exit 2
    ;;
esac
