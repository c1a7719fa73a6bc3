from __future__ import annotations

import pytest

from sealrun.recording import detect_trigger

LOGIN = {"USER": "ana", "TERM": "xterm", "HOME": "/home/ana", "PATH": "/bin"}
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "o/r",
    "GITHUB_RUN_ID": "77",
    "GITHUB_ACTOR": "octo",
    "CI": "true",
}


@pytest.mark.parametrize(
    ("environ", "kind", "source", "actor"),
    [
        (
            GITHUB | {"GITHUB_EVENT_NAME": "schedule"},
            "github_schedule",
            "https://github.com/o/r/actions/runs/77",
            "octo",
        ),
        (
            GITHUB | {"GITHUB_EVENT_NAME": "workflow_dispatch"},
            "github_dispatch",
            "https://github.com/o/r/actions/runs/77",
            "octo",
        ),
        (GITHUB | {"GITHUB_EVENT_NAME": "push"}, "github_push", "https://github.com/o/r/actions/runs/77", "octo"),
        (
            {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "schedule", "CI_JOB_URL": "u", "GITLAB_USER_LOGIN": "g"},
            "gitlab_schedule",
            "u",
            "g",
        ),
        ({"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "web", "CI_JOB_URL": "u"}, "gitlab_dispatch", "u", "ana"),
        ({"JENKINS_URL": "j", "BUILD_NUMBER": "1", "BUILD_URL": "u"}, "jenkins_job", "u", "ana"),
        ({"JENKINS_URL": "j", "BUILD_NUMBER": "1", "BUILD_CAUSE": "TIMERTRIGGER"}, "jenkins_schedule", "", "ana"),
        (
            {"BUILDKITE": "true", "BUILDKITE_SOURCE": "schedule", "BUILDKITE_BUILD_URL": "u"},
            "buildkite_schedule",
            "u",
            "ana",
        ),
        ({"BUILDKITE": "true", "BUILDKITE_SOURCE": "ui", "BUILDKITE_BUILD_URL": "u"}, "buildkite_dispatch", "u", "ana"),
        ({"CIRCLECI": "true", "CIRCLE_BUILD_URL": "u", "CIRCLE_USERNAME": "c"}, "circleci_job", "u", "c"),
        ({"TF_BUILD": "True", "BUILD_REASON": "Schedule", "BUILD_BUILDID": "5"}, "azure_schedule", "5", "ana"),
        (
            {
                "TF_BUILD": "True",
                "BUILD_REASON": "Manual",
                "BUILD_BUILDID": "5",
                "SYSTEM_COLLECTIONURI": "https://a/",
                "SYSTEM_TEAMPROJECT": "p",
            },
            "azure_dispatch",
            "https://a/p/_build/results?buildId=5",
            "ana",
        ),
        ({"SLURM_JOB_ID": "9", "SLURM_CLUSTER_NAME": "c", "SLURM_JOB_USER": "s"}, "slurm_job", "c/9", "s"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "1"}, "slurm_job", "8_1", "ana"),
        ({"PBS_JOBID": "3.pbs", "PBS_O_LOGNAME": "p"}, "pbs_job", "3.pbs", "p"),
        ({"LSB_JOBID": "4"}, "lsf_job", "4", "ana"),
        ({"SGE_ROOT": "/sge", "JOB_ID": "6", "SGE_TASK_ID": "2", "SGE_O_LOGNAME": "q"}, "sge_job", "6.2", "q"),
        ({"_CONDOR_JOB_AD": "/x/.job.ad"}, "htcondor_job", "/x/.job.ad", "ana"),
        ({"AIRFLOW_CTX_DAG_ID": "d", "AIRFLOW_CTX_DAG_RUN_ID": "scheduled__1"}, "airflow_task", "scheduled__1", "ana"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "pod-1"}, "kubernetes_job", "pod-1", "ana"),
        ({"WORKER_NAME": "w"}, "worker_http", "w", "ana"),
        ({"WORKER_NAME": "w", "WORKER_TRIGGER": "cron"}, "worker_cron", "w", "ana"),
        ({"CLOUD_RUN_JOB": "nightly"}, "worker_cron", "nightly", "ana"),
        ({"K_SERVICE": "svc"}, "worker_http", "svc", "ana"),
    ],
)
def test_every_system_says_what_started_a_run(environ: dict[str, str], kind: str, source: str, actor: str) -> None:
    assert detect_trigger(LOGIN | environ) == (kind, source, actor)


def test_a_shell_is_local_use_and_a_bare_environment_is_cron() -> None:
    kind, source, actor = detect_trigger(LOGIN)
    assert (kind, actor) == ("local_cli", "ana")
    assert source
    bare = {"HOME": "/root", "LOGNAME": "ana", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    assert detect_trigger(bare).type == "cron_schedule"
    assert detect_trigger(bare | {"SHELL": "/bin/bash", "TERM": "xterm"}).type == "local_cli"


def test_a_service_of_systemd_is_not_a_login_session() -> None:
    assert detect_trigger({"INVOCATION_ID": "abc", "USER": "svc"}) == ("systemd_service", "abc", "svc")
    timer = {"INVOCATION_ID": "abc", "TRIGGER_UNIT": "n.timer", "TRIGGER_TIMER_REALTIME_USEC": "1", "USER": "svc"}
    assert detect_trigger(timer) == ("systemd_timer", "n.timer", "svc")
    assert detect_trigger(LOGIN | {"INVOCATION_ID": "abc"}).type == "local_cli"


def test_ci_comes_before_the_cluster_it_runs_in() -> None:
    around = LOGIN | GITHUB | {"GITHUB_EVENT_NAME": "schedule", "KUBERNETES_SERVICE_HOST": "x", "SLURM_JOB_ID": "1"}
    assert detect_trigger(around).type == "github_schedule"


def test_what_is_said_outright_comes_first() -> None:
    said = {"SEALRUN_TRIGGER_TYPE": "worker_cron", "SEALRUN_TRIGGER_SOURCE": "edge", "SEALRUN_TRIGGER_ACTOR": "me"}
    assert detect_trigger(LOGIN | GITHUB | said) == ("worker_cron", "edge", "me")


def test_a_user_without_any_name_still_has_an_actor() -> None:
    assert detect_trigger({}).actor
