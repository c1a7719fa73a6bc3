#!/bin/bash
#SBATCH --job-name=train
#SBATCH --time=08:00:00
#SBATCH --output=slurm-%j.out
# SIGTERM two minutes before the time is over, to this script (B:), so that the end of the run is still written.
#SBATCH --signal=B:TERM@120
# A job that records its own run. What it leaves lies on the shared file system, complete and marked; `scan --once` from
# cron, or a daemon elsewhere, publishes it: compute nodes often reach no store. A job that is killed outright is
# sealed as "interrupted" all the same.
# usage: sbatch slurm-job.sh COMMAND [ARGUMENT]...
set -euo pipefail

root=${SEALRUN_ROOT:-$HOME/experiments/train/runs}
mkdir -p "$root"

# In the background, and waited for: bash runs a trap only between commands. `sealrun exec` passes the signal on.
sealrun exec --pipeline-id "${SLURM_JOB_NAME:-train}" --root "$root" -- "$@" &
recorder=$!
trap 'kill -TERM "$recorder"' TERM
code=0
wait "$recorder" || code=$?
while kill -0 "$recorder" 2>/dev/null; do # the trap ended the wait, not the run
  code=0
  wait "$recorder" || code=$?
done
exit "$code"
