#!/usr/bin/env bash
# Checks the goldens against NumPy and the installed library; exits with 77 where there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

python=${PYTHON:-python3}
if ! "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; then
  echo 'skipped: no PyTorch, transformers and safetensors here (PYTHON names another interpreter)'
  exit 77
fi
"$python" make_oracle.py --check
exec "$python" make_golden.py --check
