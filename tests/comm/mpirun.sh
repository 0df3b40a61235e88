#!/usr/bin/env bash
# Runs a test program under mpirun on this machine, whatever number of cores it has.
#
#   tests/comm/mpirun.sh RANKS PROGRAM [ARGUMENT …]
set -euo pipefail
ranks=$1
shift
# Containers run tests as root, which mpirun refuses unless told twice.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# What Open MPI never gives back is not ours to report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
exec mpirun --oversubscribe --bind-to none -n "$ranks" "$@"
