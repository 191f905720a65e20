#!/usr/bin/env bash
# Make .venvs/NAME (or .venvs/NAME-ROW) from .ci/NAME.ROW.txt, unless it was made from the same text before.
#   .ci/env.sh verl [latest|oldest]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${1:?usage: .ci/env.sh NAME [latest|oldest]}
row=${2:-latest}
requirements=.ci/$name.$row.txt
[ -f "$requirements" ] || { echo "$requirements: no such requirement set; there are: $(ls .ci/*.txt | xargs)" >&2; exit 2; }
folder=.venvs/$name$([ "$row" = latest ] || echo "-$row")

python=${PYTHON:-python3}
made_from() { cat "$@" .ci/env.sh <("$python" -V) | sha256sum | cut -d' ' -f1; }
wanted_packages=$(made_from "$requirements")
# entry points and extras of pyproject.toml are read when gainful is installed: a change installs again, in place
wanted=$wanted_packages-$(made_from pyproject.toml)
found=$(cat "$folder/.made-from" 2>/dev/null || true)
[ "$found" = "$wanted" ] && exit 0

echo "making $folder from $requirements"
start=$SECONDS
if [ "${found%-*}" != "$wanted_packages" ]; then
  rm -rf "$folder"
  "$python" -m venv "$folder"
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
if [ "$name" = vllm ]; then
  # they come along as CUDA builds, and under a CPU torch they break the import of transformers' models
  "$folder/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
fi
echo "$wanted" > "$folder/.made-from"
echo "made $folder in $((SECONDS - start)) s"
