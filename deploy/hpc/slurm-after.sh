#!/bin/bash
#SBATCH --job-name=publish
#SBATCH --ntasks=1
#SBATCH --time=01:00:00
#SBATCH --output=slurm-publish-%j.out
# A second job that marks and publishes what a first one left, however that ended: also after a kill, a crash of its node
# or the end of its time. For programs that know nothing of sealrun. Submit it to a partition that reaches the store:
#   job=$(sbatch --parsable train.sh) && sbatch --dependency=afterany:"$job" slurm-after.sh "$job" OUTPUT EXPERIMENT
set -euo pipefail

job=$1 output=$2 experiment=$3
# Accounting is told a moment after the job's end; without accounting the run is what its files say.
state=$(sacct --jobs "$job" --allocations --noheader --parsable2 --format State 2>/dev/null | head -n 1 || true)
case ${state%% *} in
  COMPLETED) status=success ;;
  FAILED | BOOT_FAIL | DEADLINE) status=failed ;;
  "") status="" ;;
  *) status=interrupted ;; # CANCELLED by …, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED
esac
if [ -n "$status" ] && [ ! -e "$output/.sealrun/done.json" ]; then
  sealrun mark "$output" --status "$status" -m "Slurm job $job: $state"
fi

# 3 and 5: not everywhere yet, or the store is not reachable; what is queued is tried again.
for pause in 10 60 300 600 0; do
  code=0
  sealrun publish "$output" --experiment "$experiment" || code=$?
  case $code in
    3 | 5) sleep "$pause" ;;
    *) break ;;
  esac
done
exit "$code"
