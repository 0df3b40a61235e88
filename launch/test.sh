#!/usr/bin/env bash
# Builds and runs the tests under each preset, and fails if anything does.
#
#   launch/test.sh [preset …]      default: release asan tsan
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh

case ${1:-} in
  -h | --help)
    sed -n '2,4s/^# \{0,1\}//p' launch/test.sh
    exit 0
    ;;
esac
presets=("$@")
[[ ${#presets[@]} -gt 0 ]] || presets=(release asan tsan)

require_build "${build_packages[@]}" "${test_packages[@]}"
require_cuda_toolkit

# In a process of its own: `set -e` does not hold inside a function whose status is looked at.
failed=()
report=()
for preset in "${presets[@]}"; do
  printf '\n== %s\n' "$preset"
  SECONDS=0
  status=passed
  bash -euo pipefail -c '
    source launch/setup.sh
    build_preset "$1"
    ctest --preset "$1" --parallel "$(nproc)"' build-and-test "$preset" || status=FAILED
  [[ $status == passed ]] || failed+=("$preset")
  report+=("$(printf '%-10s %-6s %5d s' "$preset" "$status" "$SECONDS")")
done

printf '\n'
printf '%s\n' "${report[@]}"
[[ ${#failed[@]} -eq 0 ]] || die "failed: ${failed[*]}"
