#!/usr/bin/env bash
# Trains on several hosts: network namespaces with host names of their own, joined by a virtual cable,
# and an agent in place of ssh that enters them. Exits with 77 where that is not permitted.
# Usage: hosts_test.sh PROGRAM CONFIGS_DIRECTORY
set -u

program=$1
configs=$2
source "$(dirname "${BASH_SOURCE[0]}")/testing.sh"
make_tiny "$configs"

first=reformer-$$-a
second=reformer-$$-b
first_address=10.213.0.1
second_address=10.213.0.2

cleanup() {
  local host
  for host in $first $second; do
    ip netns pids $host 2>/dev/null | xargs -r kill -KILL 2>/dev/null
    ip netns delete $host 2>/dev/null
  done
  rm -rf "$work"
}
trap cleanup EXIT

make_hosts() {
  ip netns add $first && ip netns add $second &&
    ip link add cable0 netns $first type veth peer name cable0 netns $second &&
    ip -n $first address add $first_address/24 dev cable0 &&
    ip -n $second address add $second_address/24 dev cable0 &&
    ip -n $first link set cable0 up && ip -n $first link set lo up &&
    ip -n $second link set cable0 up && ip -n $second link set lo up &&
    ip netns exec $second unshare --uts hostname $second
}
if ! command -v ip >/dev/null || ! make_hosts >make.txt 2>&1; then
  echo "skipped: no network namespaces can be made here: $(tail -1 make.txt 2>/dev/null)"
  exit 77
fi

# What mpirun takes for ssh: AGENT ADDRESS COMMAND…
cat >agent <<END
#!/bin/sh
case \$1 in
  $first_address) host=$first ;;
  $second_address) host=$second ;;
  *) echo "no such host: \$1" >&2; exit 1 ;;
esac
shift
exec ip netns exec \$host unshare --uts sh -c "hostname \$host; \$*"
END
chmod +x agent

# on_hosts RANKS_OF_EACH ARGUMENT…: runs the program, started from the first host.
on_hosts() {
  local each=$1
  shift
  ./agent $first_address "cd $work; OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    ASAN_OPTIONS=detect_leaks=0 exec mpirun --oversubscribe --bind-to none \
    --mca plm_rsh_agent $work/agent --host $first_address:$each,$second_address:$each \
    -n $((2 * each)) $program $*"
}

expect_success "one host" "$program" train tiny.txtpb --run-dir one
for each in 1 2; do
  expect_success "two hosts with $each ranks each" on_hosts $each train tiny.txtpb --run-dir hosts$each
  check "they give the losses of one rank" [ "$(losses hosts$each)" = "$(losses one)" ]
  check "and its parameters" [ "$(digest hosts$each)" = "$(digest one)" ]
  check "and are two machines" grep -q "$((2 * each)) ranks on 2 machines" hosts$each/train.log
done

# A rank on the other host that is killed ends the job on both.
on_hosts 1 train tiny.txtpb --set training.steps=100000 --run-dir killed$$ >out.txt 2>err.txt </dev/null &
job=$!
await_lines killed$$ 1
for pid in $(ip netns pids $second); do
  [ "$(cat "/proc/$pid/comm")" = reformer ] && kill -KILL "$pid"
done
SECONDS=0
wait $job
status=$?
check "a rank killed on the other host ends the job" [ $status != 0 ]
check "at once ($SECONDS s)" [ $SECONDS -lt 15 ]
check "and is named with its host" grep -q "rank 1 .*$second_address.*signal 9" err.txt
check "nobody is left on the first host" \
  [ -z "$(ip netns pids $first | xargs -r ps -o comm= -p | grep reformer)" ]

finish
