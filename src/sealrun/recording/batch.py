"""Which job of which batch scheduler or cluster a process belongs to, by the variables that these set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sealrun.domain.records import JsonObject


class _System(NamedTuple):
    """A scheduler: the variables that give it away, and where it says what."""

    name: str
    marks: tuple[str, ...]
    fields: Mapping[str, str]


_SYSTEMS = (
    _System(
        "slurm",
        ("SLURM_JOB_ID",),
        {
            "job": "SLURM_JOB_ID",
            "name": "SLURM_JOB_NAME",
            "step": "SLURM_STEP_ID",
            "array_job": "SLURM_ARRAY_JOB_ID",
            "array_task": "SLURM_ARRAY_TASK_ID",
            "rank": "SLURM_PROCID",
            "tasks": "SLURM_NTASKS",
            "nodes": "SLURM_JOB_NODELIST",
            "partition": "SLURM_JOB_PARTITION",
            "restarts": "SLURM_RESTART_COUNT",
        },
    ),
    _System(
        "lsf",
        ("LSB_JOBID",),
        {"job": "LSB_JOBID", "name": "LSB_JOBNAME", "array_task": "LSB_JOBINDEX", "queue": "LSB_QUEUE"},
    ),
    _System(
        "pbs",
        ("PBS_JOBID",),
        {"job": "PBS_JOBID", "name": "PBS_JOBNAME", "array_task": "PBS_ARRAY_INDEX", "queue": "PBS_QUEUE"},
    ),
    _System(
        "sge",
        ("SGE_ROOT", "JOB_ID"),
        {"job": "JOB_ID", "name": "JOB_NAME", "array_task": "SGE_TASK_ID", "queue": "QUEUE"},
    ),
    _System("htcondor", ("_CONDOR_JOB_AD",), {"job": "_CONDOR_JOB_AD", "slot": "_CONDOR_SLOT"}),
    _System("aws_batch", ("AWS_BATCH_JOB_ID",), {"job": "AWS_BATCH_JOB_ID", "array_task": "AWS_BATCH_JOB_ARRAY_INDEX"}),
    _System(
        "kubernetes",
        ("KUBERNETES_SERVICE_HOST",),
        {
            "pod": "HOSTNAME",
            "namespace": "POD_NAMESPACE",
            "node": "NODE_NAME",
            "array_task": "JOB_COMPLETION_INDEX",
        },
    ),
)
_UNSET = {"", "undefined"}


def capture_batch(environ: Mapping[str, str]) -> JsonObject | None:
    """Return system, job, task, rank and so on, as far as they are known; None outside of any."""
    for system in _SYSTEMS:
        if all(environ.get(mark) for mark in system.marks):
            said = {field: environ.get(name, "") for field, name in system.fields.items()}
            return {"system": system.name, **{field: value for field, value in said.items() if value not in _UNSET}}
    return None
