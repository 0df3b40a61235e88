# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it: which Debian packages the trainer needs, how they get installed,
# and how a preset is built. Requires `set -euo pipefail` and the repository root as the current
# directory.

build_packages=(
  g++ cmake pkg-config
  libopenblas-pthread-dev libhwy-dev libfmt-dev libcli11-dev libisal-dev libzip-dev nlohmann-json3-dev
  libsentencepiece-dev
  libprotobuf-dev protobuf-compiler
  libopenmpi-dev openmpi-bin
)
test_packages=(libgtest-dev libbenchmark-dev clang-format procps iproute2 gnuplot-nox)

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Prints those of the packages $@ that are not installed, one on a line.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$package"
  done
}

# Makes sure that the packages $@ are installed. Touches neither network nor system when they are.
require_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    printf 'This is no Debian system. Its names for these packages are needed: %s\n' "$*" >&2
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0

  local as_root=()
  if [[ $EUID -ne 0 ]]; then
    # Without a terminal sudo could not ask for a password.
    if command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
      as_root=(sudo)
    else
      printf 'Missing packages. As root, run\n\n  apt-get update && apt-get install -y %s\n\n' \
        "${missing[*]}" >&2
      die 'then start this script again'
    fi
  fi
  printf 'Installing %s\n' "${missing[*]}"
  "${as_root[@]}" apt-get update -qq || printf 'The package lists stay as they are.\n' >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
    die "cannot install ${missing[*]}"
}

# The CUDA compiler and the libraries that the program links, as PyPI has them.
cuda_wheels=(
  nvidia-cuda-nvcc==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-crt==13.0.* nvidia-cuda-cccl==13.0.*
  nvidia-cuda-runtime==13.0.* nvidia-cublas==13.1.* nvidia-nccl-cu13==2.28.*
)

# Makes sure that CMake finds nvcc: the machine's own, or else one in build/cuda. Where neither can be
# had, says so, and the CUDA backend is neither built nor tested.
require_cuda_toolkit() {
  local toolkit=$PWD/build/cuda/nvidia/cu13
  if [[ -x $toolkit/bin/nvcc ]]; then
    export CUDA_HOME=$toolkit
    return
  fi
  command -v nvcc >/dev/null && return
  [[ -x ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc ]] && return
  if [[ $(uname -m) != x86_64 ]]; then
    printf 'CUDA: no nvcc here, and none to be had for %s\n' "$(uname -m)" >&2
    return
  fi
  require_packages python3-pip
  printf 'CUDA: no nvcc here; installing one from PyPI into build/cuda (1.1 GB)\n'
  if ! python3 -m pip install --quiet --no-deps --disable-pip-version-check \
    --target build/cuda "${cuda_wheels[@]}"; then
    printf 'CUDA: nvcc cannot be had; the CUDA backend is neither built nor tested\n' >&2
    rm -rf build/cuda
    return
  fi
  # Wheels have no link names.
  (
    cd "$toolkit/lib" || exit
    for library in *.so.*; do ln -sf "$library" "${library%%.so.*}.so"; done
    ln -sf ../../nccl/lib/libnccl.so.2 libnccl.so.2
    ln -sf libnccl.so.2 libnccl.so
    ln -sf ../../nccl/include/nccl.h ../include/nccl.h
    ln -sfn lib ../lib64
  )
  export CUDA_HOME=$toolkit
}

# Runs the command $2… as $1 ranks on this machine, on whatever number of cores it has.
run_ranks() {
  local ranks=$1
  shift
  # mpirun refuses to be run by root, as containers do, unless told twice.
  [[ $EUID -ne 0 ]] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  mpirun --oversubscribe --bind-to none -n "$ranks" "$@"
}

# The packages $@ and whatever can run a build: ninja or make.
require_build() {
  local tool=()
  command -v ninja >/dev/null || command -v make >/dev/null || tool=(ninja-build)
  require_packages "$@" "${tool[@]}"
}

# Configures preset $1 and builds it; further arguments go to `cmake --build`.
build_preset() {
  local preset=$1
  shift
  # Decides for a new build directory only; one that exists keeps its generator.
  command -v ninja >/dev/null && export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
  cmake --preset "$preset"
  cmake --build --preset "$preset" --parallel "$(nproc)" "$@"
}
