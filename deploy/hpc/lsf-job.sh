#!/bin/bash
#BSUB -J train
#BSUB -W 8:00
#BSUB -o lsf-%J.out
# SIGTERM two minutes before the time is over.
#BSUB -wt 2
#BSUB -wa TERM
# LSF: a job that records its own run; see slurm-job.sh, which says more. `#BSUB -Ep "sealrun scan --once"` would publish
# from the node where it ran.
# usage: COMMAND='python train.py' bsub -env all < lsf-job.sh
set -euo pipefail

root=${SEALRUN_ROOT:-$HOME/experiments/train/runs}
mkdir -p "$root"
exec sealrun exec --pipeline-id "${LSB_JOBNAME:-train}" --root "$root" -- /bin/bash -c "exec $COMMAND"
