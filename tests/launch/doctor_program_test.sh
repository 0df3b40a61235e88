#!/usr/bin/env bash
# Runs `reformer doctor` as a user would, and where something is wrong. Usage: doctor_program_test.sh
# PROGRAM
set -u

program=$1
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
# What Open MPI never gives back is not ours to report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

expect_success "doctor" "$program" doctor
for topic in instructions cores load GPU memory 'shared memory' libraries kernels OpenBLAS \
  'matrix products' 'disk space' 'disk speed' MPI launcher; do
  check "it looks at: $topic" grep -Eq "^(ok|warning) +$topic: " out.txt
done
check "two ranks met" grep -q "^ok       ranks: two met" out.txt
check "there is no problem" grep -q "^0 problems" out.txt
check "it leaves nothing" [ -z "$(ls -A | grep -v '^\(out\|err\).txt$')" ]

expect_status "a run directory that cannot be" 5 "$program" doctor --run-dir /proc/run
check "is a problem with a remedy" grep -q "^PROBLEM  run directory: /proc/run cannot be" out.txt
check "which names the option" grep -q "^         → .*--run-dir" out.txt

# Launchers that are not what they should be.
mkdir none other
expect_success "without mpirun" env PATH="$work/none" "$program" doctor
check "is a warning" grep -q "^warning  launcher: there is no mpirun" out.txt
cat >other/mpirun <<'LAUNCHER'
#!/bin/sh
[ "$1" = --version ] && { echo "mpirun (Open MPI) 1.2.3"; exit; }
while [ "$1" != "$REFORMER" ]; do shift; done
"$@"
LAUNCHER
chmod +x other/mpirun
expect_status "the launcher of another MPI" 5 env REFORMER="$(readlink -f "$program")" \
  PATH="$work/other:$PATH" "$program" doctor
check "is named with its version" grep -q "^PROBLEM  launcher: mpirun is of .*1\.2\.3" out.txt
check "and its ranks stay alone" grep -q "^PROBLEM  ranks: .*1 rank met, 2 were started" out.txt

limited() { bash -c "ulimit -f 20480; exec '$program' doctor"; }
expect_success "with a limit on files" limited
check "which is a warning" grep -q "^warning  file size: limited to 20.0 MiB" out.txt

finish
