#!/bin/bash
#PBS -N train
#PBS -l walltime=08:00:00
#PBS -j oe
# PBS: a job that records its own run; see slurm-job.sh, which says more. PBS sends SIGTERM some seconds before the end.
# To publish however it ended: qsub -W depend=afterany:JOB -v OUTPUT=…,EXPERIMENT=… a script that calls `sealrun publish`.
# usage: qsub -v COMMAND='python train.py' pbs-job.sh
set -euo pipefail
cd "${PBS_O_WORKDIR:-.}"

root=${SEALRUN_ROOT:-$HOME/experiments/train/runs}
mkdir -p "$root"
exec sealrun exec --pipeline-id "${PBS_JOBNAME:-train}" --root "$root" -- /bin/bash -c "exec $COMMAND"
