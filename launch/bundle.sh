#!/usr/bin/env bash
# Makes a folder that runs on another machine: the program, the shared libraries that it needs, and
# the presets. The C library, the driver of the GPU and the CUDA libraries (cudart, cublasLt, NCCL)
# are the other machine's.
#
#   launch/bundle.sh FOLDER [PROGRAM]     default: one with compressed kernels is built, in build/bundle
#
# There, `FOLDER/reformer check --device cuda --json results.json` checks the GPU and times it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/launch/setup.sh"

case ${1:-} in
  -h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  '')
    die 'the folder to make is missing; --help tells more'
    ;;
esac
[[ ! -e $1 ]] || die "$1 is there already"
mkdir -p "$1/lib"
folder=$(cd "$1" && pwd)
program=${2:-}
if [[ -z $program ]]; then
  cd "$root"
  require_build "${build_packages[@]}"
  require_cuda_toolkit
  command -v ninja >/dev/null && export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
  cmake --preset release -B build/bundle -DREFORMER_COMPRESS_CUDA=ON -DBUILD_TESTING=OFF
  cmake --build build/bundle --parallel "$(nproc)" --target reformer
  program=$root/build/bundle/launch/reformer
fi

# What every Linux machine, its driver or its CUDA has.
elsewhere='^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil|libcuda|libnvidia-.*|libcudart|libcublas|libcublasLt|libnccl)\.so'

cp "$program" "$folder/lib/reformer"
strip "$folder/lib/reformer"
ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' |
  while read -r name path; do
    [[ $name =~ $elsewhere ]] || cp -L "$path" "$folder/lib/$name"
  done
cp -r "$root/configs" "$folder/configs"
rm -f "$folder"/configs/*.{cmake,map,proto} "$folder/configs/CMakeLists.txt"

cat >"$folder/reformer" <<'SCRIPT'
#!/bin/sh
# The trainer with the libraries that came with it; those of CUDA are looked for where it is usually
# installed, after LD_LIBRARY_PATH.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cuda=${CUDA_HOME:-/usr/local/cuda}
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}:$cuda/lib64:$cuda/lib
export LD_LIBRARY_PATH
exec "$here/lib/reformer" "$@"
SCRIPT
chmod +x "$folder/reformer"
printf '%s: %s\n' "$1" "$(du -sh "$folder" | cut -f1)"
