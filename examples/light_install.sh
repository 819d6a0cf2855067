#!/usr/bin/env bash
# osdc without torch:  bash examples/light_install.sh [ENVIRONMENT [PYTHON]]
# Encoding and decoding on a CPU, `osdc info` and the Pillow plugin need only these packages, about 0.3 GB in place of
# several GB. Whatever needs torch (a GPU, training, evaluation) then says which packages to add.
set -euo pipefail
environment=${1:-.venv-light} python=${2:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)

"$python" -m venv "$environment"
"$environment/bin/pip" install \
    "constriction>=0.4.2,<0.6" "numpy>=1.26" "onnxruntime>=1.20" "pillow>=11.3" "rich>=13.8" "safetensors>=0.4.5" "typer>=0.20"
"$environment/bin/pip" install --no-deps "$root"
"$environment/bin/osdc" --version
