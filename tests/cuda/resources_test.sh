#!/usr/bin/env bash
# Fails unless every kernel fits every architecture that it was compiled for: no stack frame, no spilled
# registers, a launch bound, and registers and static shared memory within what a block of that bound
# may have. Prints a table.
#
#   tests/cuda/resources_test.sh FOLDER    the build folder of kernels/cuda
set -euo pipefail

reports=$(find "$1" -name '*.ptxas' | sort)
[[ -n $reports ]] || {
  printf 'no reports of ptxas in %s\n' "$1" >&2
  exit 1
}

# Launch bounds stand in the PTX that the objects embed: "entry NAME", then "maxntid THREADS".
bounds=$(for report in $reports; do
  strings -n 4 "${report%.ptxas}" |
    sed -nE 's/^(\.visible |\.weak )?\.entry ([A-Za-z0-9_$]+).*/entry \2/p; s/^\.maxntid ([0-9]+).*/maxntid \1/p'
done)

# shellcheck disable=SC2086
awk -v bounds="$bounds" '
  BEGIN {
    lines = split(bounds, line, "\n")
    for (i = 1; i <= lines; ++i) {
      split(line[i], word, " ")
      if (word[1] == "entry") kernel = word[2]
      else threads_of[kernel] = word[2]
    }
    kRegisters = 65536
    kSharedBytes = 48 * 1024
  }

  function complain(message) {
    print "FAILED " kernel " for " architecture ": " message
    ++complaints
  }

  function quoted(text) {
    split(text, part, "\047")
    return part[2]
  }

  /Compiling entry function/ {
    kernel = quoted($0)
    architecture = $0
    sub(/.* for \047/, "", architecture)
    sub(/\047.*/, "", architecture)
  }

  /bytes stack frame/ && kernel != "" {
    if ($1 + $5 + $9 > 0) complain($0)
  }

  /Used [0-9]+ registers/ && kernel != "" {
    registers = $0
    sub(/.*Used /, "", registers)
    registers += 0
    shared = 0
    if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
    threads = threads_of[kernel]
    if (threads == 0) complain("no launch bound")
    # Registers are given to warps in units of 8.
    if (int((registers + 7) / 8) * 8 * threads > kRegisters) {
      complain(registers " registers for " threads " threads")
    }
    if (shared > kSharedBytes) complain(shared " bytes of static shared memory")
    print kernel, architecture, threads, registers, shared
    ++kernels
    kernel = ""
  }

  END {
    if (!kernels) complain("no kernel was found")
    exit complaints > 0
  }' $reports >"${TMPDIR:-/tmp}/resources.$$" && status=0 || status=$?
trap 'rm -f "${TMPDIR:-/tmp}/resources.$$"' EXIT

grep '^FAILED' "${TMPDIR:-/tmp}/resources.$$" | c++filt || true
printf '%-10s %8s %10s %8s  %s\n' target threads registers shared kernel
grep -v '^FAILED' "${TMPDIR:-/tmp}/resources.$$" | sort -u |
  awk '{ printf "%-10s %8d %10d %8d  %s\n", $2, $3, $4, $5, $1 }' | c++filt |
  sed 's/reformer::cuda:://g; s/(anonymous namespace):://g; s/([^()]*)$//'
exit "$status"
