#!/usr/bin/env bash
# Trains with the `reformer` program on several ranks under mpirun: the results of one rank, resuming
# on other numbers of ranks, and every way in which a rank can go wrong.
# Usage: ranks_program_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"

# The process id of rank $1 of the run in directory $2.
pid_of_rank() {
  local pid
  for pid in $(pgrep -f -- "--run-dir $2"); do
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" &&
      grep -aq reformer "/proc/$pid/comm" && echo "$pid" && return
  done
}

# One rank, and several: the same losses, the same parameters.
expect_success "one rank" "$program" train tiny.txtpb --run-dir one
for ranks in 1 2 3 4; do
  expect_success "$ranks ranks" on $ranks train tiny.txtpb --run-dir ranks$ranks
  check "$ranks ranks give the losses of one" [ "$(losses ranks$ranks)" = "$(losses one)" ]
  check "$ranks ranks give the parameters of one" [ "$(digest ranks$ranks)" = "$(digest one)" ]
done
check "the log tells how many ranks" grep -q "3 ranks on 1 machine" ranks3/train.log
check "and every line once" [ -z "$(sort ranks3/train.log | uniq -d)" ]
check "every rank has a flight record" [ "$(ls ranks3/flight | wc -l)" = 3 ]
expect_success "inspect" "$program" inspect ranks3
check "inspect tells what each rank did last" grep -q "rank-00002: .*barrier.*finished" out.txt
echo damaged >ranks3/flight/rank-00001
expect_success "inspect with a damaged flight record" "$program" inspect ranks3
check "names it and goes on" grep -q "rank-00001: .*is no flight recorder" out.txt
expect_success "eval of what ranks trained" "$program" eval ranks3
expect_success "text from what ranks trained" "$program" generate ranks3 --prompt Anne
expect_success "check on two ranks" on 2 check
check "they are used" grep -q "^ok .*2 ranks, " out.txt

# How many ranks were asked for is no part of the run; how many threads is a rank's own business.
expect_success "two ranks asked for" on 2 train tiny.txtpb --run-dir asked --stop-at 4 \
  --set execution.ranks=2
expect_success "then three, of the configuration that was left" on 3 train asked/config.txtpb \
  --run-dir asked --set execution.threads=5
check "each with as many threads as asked for" grep -q "5 threads" asked/train.log

# A checkpoint does not say how many ranks there were.
for optimizer in ADAMW ADAFACTOR; do
  set -- train tiny.txtpb --set optimizer.kind=$optimizer
  expect_success "$optimizer on one rank" "$program" "$@" --run-dir whole$optimizer
  expect_success "$optimizer: two ranks" on 2 "$@" --run-dir parts$optimizer --stop-at 4
  expect_success "$optimizer: then three" on 3 "$@" --run-dir parts$optimizer --stop-at 8
  expect_success "$optimizer: then one" "$program" "$@" --run-dir parts$optimizer
  check "$optimizer: changing ranks changes no loss" \
    [ "$(losses whole$optimizer)" = "$(losses parts$optimizer)" ]
  check "$optimizer: nor any parameter" \
    [ "$(digest whole$optimizer)" = "$(digest parts$optimizer)" ]
done

# What all ranks find wrong is said once.
expect_failure "a wrong configuration" 2 "model.heads" on 3 train tiny.txtpb --set model.heads=3
expect_failure "missing data" 3 "absent.txt" on 3 train tiny.txtpb --set data.path=absent.txt
expect_failure "a wrong number of ranks" 2 "execution.ranks is 4 and the run has 3" \
  on 3 train tiny.txtpb --set execution.ranks=4
expect_error "a launcher that started more" 2 "alone although SLURM_NTASKS=4" \
  env SLURM_NTASKS=4 "$program" train tiny.txtpb

# What one rank finds wrong names it, and ends all.
expect_failure "ranks with different configurations" 2 "rank 1 has another configuration.*seed: 2" \
  on 1 train tiny.txtpb --run-dir different : -n 1 "$program" train tiny.txtpb --run-dir different \
  --set training.seed=2
expect_failure "data that one rank does not have" 3 "absent.txt" \
  on 1 train tiny.txtpb --run-dir half : -n 1 "$program" train tiny.txtpb --run-dir half \
  --set data.path=absent.txt
check "the rank is named" grep -q "reformer: rank 1 on .*: error: .*absent.txt" err.txt
on 1 train tiny.txtpb --set data.path=absent1.txt : -n 1 "$program" train tiny.txtpb \
  --set data.path=absent2.txt >out.txt 2>err.txt </dev/null
check "ranks with different mistakes are named, not one for all" \
  grep -Eq "reformer: rank [01] on .*: error: .*absent[12].txt" err.txt

# One path, and another file behind it for each rank, as on machines with disks of their own.
mkdir elsewhere
tr a-z b-za <text.txt >elsewhere/text.txt
set -- train "$work/tiny.txtpb" --run-dir "$work/other" --set data.path=/proc/self/cwd/text.txt
expect_failure "another text of the same name and size" 3 "rank 1 has another dataset" \
  on 1 "$@" : -n 1 -wdir "$work/elsewhere" "$program" "$@"

# A rank that is killed ends the job at once, with its name; the next start goes on.
long=(train tiny.txtpb --set training.steps=100000)
on 3 "${long[@]}" --run-dir killed$$ >out.txt 2>err.txt </dev/null &
job=$!
await_lines killed$$ 12
check "a second job in the same directory is refused" \
  bash -c "! '$tests/comm/mpirun.sh' 2 '$program' ${long[*]} --run-dir killed$$ 2>second.txt >&2"
check "and told why" grep -q "another process is training there" second.txt
kill -KILL "$(pid_of_rank 1 killed$$)"
SECONDS=0
wait $job
status=$?
check "a killed rank ends the job" [ $status != 0 ]
check "at once ($SECONDS s)" [ $SECONDS -lt 10 ]
check "and is named" grep -q "rank 1 .*signal 9" err.txt
check "nobody is left" [ -z "$(pgrep -f -- "--run-dir killed$$")" ]
expect_success "the next start" on 2 train killed$$/config.txtpb --run-dir killed$$ --stop-at 12
check "goes on from the checkpoint" grep -q "resumed after step" out.txt
step=$(sed -n 's/.*resumed after step //p' out.txt | tr -d '\r')
check "of step $step, not from the beginning" [ "$step" -ge 5 ]

# A rank that stands still ends the job after execution.timeout_seconds, naming the operation.
on 2 "${long[@]}" --run-dir stuck$$ --set execution.timeout_seconds=2 >out.txt 2>err.txt </dev/null &
job=$!
await_lines stuck$$ 3
stopped=$(pid_of_rank 1 stuck$$)
kill -STOP "$stopped"
wait $job
status=$?
kill -KILL "$stopped" 2>/dev/null
check "a stopped rank ends the job with the exit code of communication" [ $status = 6 ]
check "naming who waited, and for what" \
  grep -Eq "rank 0 on .*error: .* has waited 2 s" err.txt

# A signal to mpirun is passed on, and all ranks stop after the same step.
on 3 "${long[@]}" --run-dir signalled$$ >out.txt 2>err.txt </dev/null &
job=$!
await_lines signalled$$ 3
pkill -USR1 -f -- "mpirun .*--run-dir signalled$$"
wait $job
check "SIGUSR1 exits with 8" [ $? = 8 ]
check "after saving" grep -q "stopped by a signal after step" out.txt
# And so is one to a single rank.
on 3 "${long[@]}" --run-dir signalled$$ >out.txt 2>err.txt </dev/null &
job=$!
await_lines signalled$$ 40
kill -TERM "$(pid_of_rank 2 signalled$$)"
wait $job
check "SIGTERM to one rank exits with 8" [ $? = 8 ]
check "after saving" grep -q "stopped by a signal after step" out.txt

finish
