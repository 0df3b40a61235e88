#!/usr/bin/env bash
# check_includes.sh finds planted violations, each with its place, and nothing else.
set -euo pipefail
check=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/check_includes.sh
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failures=0

# Makes the tree hold a good file, and file $1 with line $2 after a line of comment.
plant() {
  rm -rf "${root:?}"/*
  mkdir -p "$root/comm" "$root/$(dirname "$1")"
  printf '#include "kernels/core/check.h"\n' >"$root/comm/good.h"
  printf '// A planted file.\n%s\n' "$2" >"$root/$1"
}

fail() {
  printf 'FAILED: %s\n' "$*"
  failures=$((failures + 1))
}

# In file $1, line $2 is refused in one line that contains $3 (default: the place and the header).
refused() {
  plant "$1" "$2"
  local output
  if output=$(bash "$check" "$root" 2>&1); then
    fail "$1: $2: passed"
  elif [[ $output != *"${3:-"$1:2: "}"* || $(grep -c "$1:" <<<"$output") -ne 1 ]]; then
    fail "$1: $2: $output"
  fi
}

accepted() {
  plant "$1" "$2"
  local output
  output=$(bash "$check" "$root" 2>&1) || fail "$1: $2: $output"
}

# Against the direction of the arrows.
refused kernels/core/a.h '#include "kernels/backend.h"'
refused kernels/core/a.h '#include "comm/mesh.h"'
refused kernels/a.cc '#include "kernels/cpu/ops.h"'
refused kernels/cpu/a.cc '#include "kernels/cuda/ops.h"'
refused kernels/cuda/a.cu '#include "kernels/cpu/ops.h"'
refused kernels/cuda/a.cuh '#include "trainer/step.h"'
refused kernels/cpu/a-inl.h '#include "comm/mesh.h"'
refused comm/a.cc '#include "kernels/backend.h"'
refused trainer/model/a.h '#include "kernels/cpu/ops.h"'
refused trainer/model/a.h '#include "trainer/step.h"'
refused trainer/model/a.h '#include "configs/run.pb.h"'
refused trainer/a.cc '#include "kernels/cpu/cpu_backend.h"'
refused trainer/config/a.cc '#include "launch/commands.h"'
refused launch/a.cc '#include "kernels/cpu/ops.h"'
refused launch/a.cc '#include "tests/kernels/op_testing.h"'
refused comm/a.cc '  #  include "trainer/step.h"  // spaces'
refused comm/a.cc '#include"trainer/step.h"'

# Around the rules.
refused comm/a.cc '#include <trainer/step.h>' 'with quotes'
refused comm/a.cc '#include "mesh.h"' 'not a path from the root'
refused comm/a.cc '#include "comm/../trainer/step.h"' 'not a path from the root'
refused tests/comm/a.cc '#include "mesh.h"' 'not a path from the root'
refused kernels/new/a.cc '#include <vector>' 'no rule for folder "kernels/new"'
refused trainer/new/a.cc '#include <vector>' 'no rule for folder "trainer/new"'
refused source/a.cc '#include <vector>' 'no rule for folder "source"'
refused a.cc '#include <vector>' 'no rule for folder ""'

# Along them.
accepted kernels/core/a.h '#include "kernels/core/check.h"'
accepted kernels/a.cc '#include "kernels/core/check.h"'
accepted kernels/cpu/a.cc '#include "hwy/highway.h"'
accepted kernels/cpu/a.cc '#include "kernels/backend.h"'
accepted comm/a.cc '#include "kernels/core/view.h"'
accepted trainer/model/a.cc '#include "comm/mesh.h"'
accepted trainer/checkpoint/a.cc '#include "trainer/checkpoint/manifest.pb.h"'
accepted trainer/a.cc '#include "configs/run.pb.h"'
accepted launch/a.cc '#include "kernels/cpu/cpu_backend.h"'
accepted launch/a.cc '#include "trainer/trainer.h"'
accepted tests/kernels/a.cc '#include "kernels/cpu/ops.h"'
accepted comm/a.cc '// #include "trainer/step.h" in a comment'
accepted build/release/a.cc '#include "anything.h"'

# A wrong root must not pass for a clean one.
rm -rf "${root:?}"/*
if bash "$check" "$root" >/dev/null 2>&1; then fail 'an empty tree passed'; fi

if [[ $failures -gt 0 ]]; then exit 1; fi
printf 'all planted includes were judged rightly\n'
