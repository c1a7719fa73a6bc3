"""What started a run: read from the variables that CI systems, schedulers and orchestrators set.

Source of the names: each system's documentation of its predefined variables.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

Environ = Mapping[str, str]


class Trigger(NamedTuple):
    """What started a run, where that can be looked up, and who. It unpacks: ``type, source, actor = detect_trigger()``.

    `type` is ``<system>_<how>``: ``github_schedule``, ``github_dispatch``, ``local_cli``, ``worker_http``,
    ``worker_cron``, ``slurm_job``, …
    """

    type: str
    source: str
    actor: str


def detect_trigger(environ: Environ | None = None) -> Trigger:
    """Tell what started this process, from `environ` (by default this process's).

    ``SEALRUN_TRIGGER_TYPE``, ``SEALRUN_TRIGGER_SOURCE`` and ``SEALRUN_TRIGGER_ACTOR`` come before everything that is
    found. A CI system comes before the batch system or the container that it runs in, those before cron and systemd;
    what nobody claims is ``local_cli``. Never fails.
    """
    around: Environ = os.environ if environ is None else environ
    answers = (ask(around) for ask in _SYSTEMS)
    found = next((answer for answer in answers if answer is not None), None) or _local(around)
    return Trigger(
        around.get("SEALRUN_TRIGGER_TYPE") or found.type,
        around.get("SEALRUN_TRIGGER_SOURCE") or found.source,
        around.get("SEALRUN_TRIGGER_ACTOR") or found.actor or user_name(around),
    )


def user_name(around: Environ) -> str:
    """Who runs this process: by the login, not by what ``sudo`` made of it."""
    for name in ("SUDO_USER", "LOGNAME", "USER", "USERNAME"):
        if around.get(name):
            return around[name]
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())  # a container's user need not have a name


_GITHUB = {"workflow_dispatch": "dispatch", "repository_dispatch": "dispatch", "merge_group": "push"}
_GITLAB = {"web": "dispatch", "api": "dispatch", "trigger": "dispatch", "chat": "dispatch"}
_AZURE = {"schedule": "schedule", "manual": "dispatch", "individualci": "push", "batchedci": "push"}


def _github(around: Environ) -> Trigger | None:
    if around.get("GITHUB_ACTIONS") != "true":
        return None
    event = around.get("GITHUB_EVENT_NAME", "")
    place = "/".join(filter(None, (around.get("GITHUB_SERVER_URL"), around.get("GITHUB_REPOSITORY"))))
    number = around.get("GITHUB_RUN_ID")
    source = f"{place}/actions/runs/{number}" if place and number else around.get("GITHUB_WORKFLOW", "")
    return Trigger(f"github_{_GITHUB.get(event, event) or 'job'}", source, around.get("GITHUB_ACTOR", ""))


def _gitlab(around: Environ) -> Trigger | None:
    if around.get("GITLAB_CI") != "true":
        return None
    how = around.get("CI_PIPELINE_SOURCE", "")
    source = around.get("CI_JOB_URL") or around.get("CI_PIPELINE_URL", "")
    return Trigger(f"gitlab_{_GITLAB.get(how, how) or 'job'}", source, around.get("GITLAB_USER_LOGIN", ""))


def _azure(around: Environ) -> Trigger | None:
    if around.get("TF_BUILD", "").lower() != "true":
        return None
    why = around.get("BUILD_REASON", "").lower()
    base, project = around.get("SYSTEM_COLLECTIONURI", ""), around.get("SYSTEM_TEAMPROJECT", "")
    number = around.get("BUILD_BUILDID", "")
    source = f"{base.rstrip('/')}/{project}/_build/results?buildId={number}" if base and number else number
    return Trigger(f"azure_{_AZURE.get(why, why) or 'job'}", source, around.get("BUILD_REQUESTEDFOR", ""))


def _buildkite(around: Environ) -> Trigger | None:
    if around.get("BUILDKITE") != "true":
        return None
    how = {"ui": "dispatch", "api": "dispatch", "webhook": "push"}
    why = around.get("BUILDKITE_SOURCE", "")
    actor = around.get("BUILDKITE_BUILD_CREATOR", "")
    return Trigger(f"buildkite_{how.get(why, why) or 'job'}", around.get("BUILDKITE_BUILD_URL", ""), actor)


def _jenkins(around: Environ) -> Trigger | None:
    if not (around.get("JENKINS_URL") or around.get("JENKINS_HOME")) or not around.get("BUILD_NUMBER"):
        return None
    cause = around.get("BUILD_CAUSE", "") or around.get("ROOT_BUILD_CAUSE", "")
    how = {"TIMERTRIGGER": "schedule", "MANUALTRIGGER": "dispatch", "SCMTRIGGER": "push"}.get(cause, "job")
    return Trigger(f"jenkins_{how}", around.get("BUILD_URL", ""), around.get("BUILD_USER_ID", ""))


def _worker(around: Environ) -> Trigger | None:
    """Workers that answer HTTP or run by a cron trigger: Cloudflare's, Cloud Run, Lambda, Functions.

    Only the worker knows by which of the two it was called: ``WORKER_TRIGGER`` is ``cron`` or ``http``.
    """
    how = around.get("WORKER_TRIGGER", "").lower()
    for name in ("WORKER_NAME", "CF_WORKER_NAME", "K_SERVICE", "CLOUD_RUN_JOB", "AWS_LAMBDA_FUNCTION_NAME"):
        if around.get(name):
            job = name == "CLOUD_RUN_JOB"
            return Trigger(f"worker_{how or ('cron' if job else 'http')}", around[name], "")
    if around.get("FUNCTIONS_WORKER_RUNTIME"):
        return Trigger(f"worker_{how or 'http'}", around.get("WEBSITE_SITE_NAME", ""), "")
    return Trigger(f"worker_{how}", "", "") if how else None


def _kubernetes(around: Environ) -> Trigger | None:
    if not around.get("KUBERNETES_SERVICE_HOST"):
        return None
    pod = around.get("POD_NAME") or around.get("HOSTNAME", "")
    space = around.get("POD_NAMESPACE", "")
    return Trigger("kubernetes_job", f"{space}/{pod}" if space else pod, "")


def _slurm(around: Environ) -> Trigger | None:
    if not around.get("SLURM_JOB_ID"):
        return None
    job = around["SLURM_JOB_ID"]
    if around.get("SLURM_ARRAY_JOB_ID") and around.get("SLURM_ARRAY_TASK_ID"):
        job = f"{around['SLURM_ARRAY_JOB_ID']}_{around['SLURM_ARRAY_TASK_ID']}"
    source = "/".join(filter(None, (around.get("SLURM_CLUSTER_NAME"), job)))
    return Trigger("slurm_job", source, around.get("SLURM_JOB_USER", ""))


def _cron(around: Environ) -> Trigger | None:
    """Cron sets next to nothing: a shell, a home, and no terminal; cronie and systemd-cron say a little more."""
    if around.get("CRON_TZ") or around.get("CRON") or around.get("CRONTAB") or around.get("ANACRON"):
        return Trigger("cron_schedule", around.get("CRONTAB", ""), "")
    few = {"HOME", "LANG", "LC_ALL", "LOGNAME", "MAILTO", "PATH", "PWD", "SHELL", "SHLVL", "USER", "OLDPWD", "_"}
    if {"HOME", "LOGNAME", "PATH", "SHELL"} <= around.keys() <= few and around["SHELL"] == "/bin/sh":
        return Trigger("cron_schedule", "", "")
    return None


def _systemd(around: Environ) -> Trigger | None:
    """systemd.exec(5): ``INVOCATION_ID`` in every unit; a session's own variables tell a login from a service."""
    if around.get("TRIGGER_TIMER_REALTIME_USEC") or around.get("TRIGGER_TIMER_MONOTONIC_USEC"):
        return Trigger("systemd_timer", around.get("TRIGGER_UNIT", ""), "")
    service = around.get("INVOCATION_ID") and not around.keys() & {"XDG_SESSION_ID", "TERM", "DISPLAY", "SSH_TTY"}
    return Trigger("systemd_service", around["INVOCATION_ID"], "") if service else None


def _local(around: Environ) -> Trigger:
    return Trigger("local_cli", around.get("SSH_CONNECTION", "").split(" ")[0] or os.uname().nodename, "")


def _plain(kind: str, mark: str, source: str, actor: str = "") -> Callable[[Environ], Trigger | None]:
    """Build the question to a system that one variable gives away."""

    def ask(around: Environ) -> Trigger | None:
        if not around.get(mark):
            return None
        return Trigger(kind, around.get(source, ""), around.get(actor, "") if actor else "")

    return ask


def _sge(around: Environ) -> Trigger | None:
    if not (around.get("SGE_ROOT") and around.get("JOB_ID")):
        return None
    task = around.get("SGE_TASK_ID", "undefined")
    source = around["JOB_ID"] if task == "undefined" else f"{around['JOB_ID']}.{task}"
    return Trigger("sge_job", source, around.get("SGE_O_LOGNAME", ""))


_SYSTEMS: tuple[Callable[[Environ], Trigger | None], ...] = (
    _github,
    _gitlab,
    _azure,
    _buildkite,
    _plain("circleci_job", "CIRCLECI", "CIRCLE_BUILD_URL", "CIRCLE_USERNAME"),
    _jenkins,
    _plain("bitbucket_job", "BITBUCKET_BUILD_NUMBER", "BITBUCKET_GIT_HTTP_ORIGIN", "BITBUCKET_STEP_TRIGGERER_UUID"),
    _plain("teamcity_job", "TEAMCITY_VERSION", "BUILD_URL"),
    _plain("travis_job", "TRAVIS", "TRAVIS_JOB_WEB_URL"),
    _plain("drone_job", "DRONE", "DRONE_BUILD_LINK", "DRONE_BUILD_TRIGGER"),
    _plain("woodpecker_job", "CI_PIPELINE_FORGE_URL", "CI_PIPELINE_URL", "CI_COMMIT_AUTHOR"),
    _plain("codebuild_job", "CODEBUILD_BUILD_ID", "CODEBUILD_BUILD_URL", "CODEBUILD_INITIATOR"),
    _plain("airflow_task", "AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_DAG_OWNER"),
    _plain("prefect_flow", "PREFECT__FLOW_RUN_ID", "PREFECT__FLOW_RUN_ID"),
    _plain("dagster_job", "DAGSTER_RUN_JOB_NAME", "DAGSTER_RUN_JOB_NAME"),
    _plain("argo_workflow", "ARGO_WORKFLOW_NAME", "ARGO_WORKFLOW_NAME"),
    _worker,
    _slurm,
    _plain("lsf_job", "LSB_JOBID", "LSB_JOBID", "LSB_SUB_USER"),
    _plain("pbs_job", "PBS_JOBID", "PBS_JOBID", "PBS_O_LOGNAME"),
    _sge,
    _plain("htcondor_job", "_CONDOR_JOB_AD", "_CONDOR_JOB_AD"),
    _plain("aws_batch_job", "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ID"),
    _kubernetes,
    _systemd,
    _cron,
)
