"""Images, compose and Kubernetes: each file passes its own linter, and what it starts works as far as it can here.

No container is started: their commands, settings and scripts are run as they are written, by the sealrun under test.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import reader_environment
from tests.servers.process import Process, find_program, free_ports

from sealrun import __version__
from sealrun.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
_UID = 10001


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a linter that was installed beside Python."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    program = shutil.which(arguments[0], path=path)
    assert program is not None, f"{arguments[0]} is not installed: pip install '.[test]'"
    return subprocess.run([program, *arguments[1:]], capture_output=True, text=True, check=False)


def documents(*paths: Path) -> list[dict[str, Any]]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str, *paths: Path) -> dict[str, Any]:
    (found,) = [document for document in documents(*paths or MANIFESTS) if document["kind"] == kind]
    return found


def test_the_dockerfile_passes_hadolint() -> None:
    done = tool("hadolint", str(DOCKERFILE))
    assert done.returncode == 0, done.stdout


def test_the_image_is_made_from_what_the_build_needs_and_runs_as_nobody_s_root() -> None:
    text = DOCKERFILE.read_text()
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", text) for name in line.split()[:-1]}
    assert {name.removeprefix("./") for name in copied} == allowed
    project = (DEPLOY.parent / "pyproject.toml").read_text()
    forced = re.findall(r'(?m)^"([^"]+)" = "sealrun/', project)
    assert set(forced) <= allowed
    assert f"USER {_UID}:{_UID}" in text
    assert text.count("STOPSIGNAL SIGTERM") == 1


def test_what_is_copied_into_the_image_is_enough_to_build_it(tmp_path: Path) -> None:
    for name in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines():
        source, goal = DEPLOY.parent / name[1:], tmp_path / name[1:]
        if name[:1] == "!" and source.is_dir():
            shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        elif name[:1] == "!":
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, goal)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_compose_is_what_its_schema_says() -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert done.returncode == 0, done.stdout


def test_compose_starts_sealrun_without_rights_and_with_every_file_it_names() -> None:
    (said,) = documents(COMPOSE)
    ours = said["services"]["sealrun"]
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert ours["user"] == f"{_UID}:{_UID}"
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])
    assert (DEPLOY / ours["build"]["context"] / ours["build"]["dockerfile"]).resolve() == DOCKERFILE
    used = {name for service in said["services"].values() for name in service.get("secrets", ())}
    assert used == said["secrets"].keys()
    assert "token" not in COMPOSE.read_text().replace("http_token", "")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    done = subprocess.run([DEPLOY / "container/make-secrets", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_secrets_are_made_once_and_lie_in_a_folder_of_ones_own(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    said = documents(COMPOSE)[0]["secrets"]
    assert {Path(secret["file"]).name for secret in said.values()} == {path.name for path in secrets.iterdir()}
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    again = subprocess.run([DEPLOY / "container/make-secrets", secrets], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


@pytest.mark.slow
def test_the_settings_of_compose_publish_to_the_server_of_compose(secrets: Path, tmp_path: Path) -> None:
    """Both as they are written; only addresses and folders are those of this machine."""
    (said,) = documents(COMPOSE)
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = free_ports(8)
    given = [
        part.replace("/data", str(tmp_path / "data")).replace("/run/secrets/s3_config", str(secrets / "s3.json"))
        for part in said["services"]["seaweedfs"]["command"]
    ]
    given = [part for part in given if not part.startswith(("-ip=", "-ip.bind="))]
    (tmp_path / "data").mkdir()
    ports = [
        f"-master.port={master}", f"-master.port.grpc={master_grpc}", f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
        f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=0", "-volume.preStopSeconds=0",
    ]  # fmt: skip
    server = Process([find_program("weed"), *given, *ports], tmp_path / "log", s3, "/healthz")
    server.start()
    try:
        text = (DEPLOY / "container/sealrun.toml").read_text()
        text = text.replace("http://seaweedfs:8333", f"http://127.0.0.1:{s3}").replace("/run/secrets", str(secrets))
        (tmp_path / "sealrun.toml").write_text(text.replace("/outbox", str(tmp_path / "outbox")))
        (tmp_path / "outbox/run-1").mkdir(parents=True)
        (tmp_path / "outbox/run-1/_SUCCESS").touch()
        environment = reader_environment(tmp_path / "home") | {"SEALRUN_HOME": str(tmp_path / "state")}
        master_address = f"127.0.0.1:{master}.{master_grpc}"
        make = said["services"]["bucket"]["command"][0].replace("seaweedfs:9333", master_address)
        make = make.replace("weed ", f"{find_program('weed')} ")
        for _ in range(2):  # as often as compose starts it
            made = subprocess.run(["/bin/sh", "-c", make], capture_output=True, text=True, timeout=60, check=False)
            assert made.returncode == 0, made.stderr
        script = "until sealrun doctor >/dev/null 2>&1; do sleep 1; done; sealrun scan --once && sealrun ls training"
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "run-1" in done.stdout, done.stderr
        checked = subprocess.run(
            ["/bin/sh", "-c", "sealrun doctor"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout
    finally:
        server.forget()


@pytest.mark.parametrize("path", [path for path in MANIFESTS if path.stem != "podmonitor"], ids=lambda path: path.stem)
def test_manifests_are_what_their_schemas_say(path: Path) -> None:
    done = tool("kubernetes-validate", "--strict", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def pods() -> list[dict[str, Any]]:
    return [of_kind(kind)["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]


def test_every_container_keeps_to_the_restricted_standard() -> None:
    assert of_kind("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            held = container["securityContext"]
            assert held["allowPrivilegeEscalation"] is False
            assert held["readOnlyRootFilesystem"] is True
            assert held["capabilities"] == {"drop": ["ALL"]}
            assert container["image"] in {f"sealrun:{__version__}", "train:latest"}


def test_two_daemons_never_share_a_state_folder_and_every_volume_is_there() -> None:
    deployment = of_kind("Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claims = {each["metadata"]["name"] for each in documents(*MANIFESTS) if each["kind"] == "PersistentVolumeClaim"}
    for pod in pods():
        names = {volume["name"] for volume in pod["volumes"]}
        used = {
            mount["name"]
            for container in [*pod["containers"], *pod.get("initContainers", [])]
            for mount in container["volumeMounts"]
        }
        assert used == names
        assert {
            v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v
        } <= claims


def test_the_settings_in_the_config_map_are_valid_and_name_the_secrets_that_are_mounted(tmp_path: Path) -> None:
    text = of_kind("ConfigMap")["data"]["sealrun.toml"].replace("/etc/sealrun", str(tmp_path))
    (tmp_path / "secrets").mkdir()
    for name in ("s3-key", "s3-secret", "http-token"):
        (tmp_path / "secrets" / name).write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "sealrun.toml").write_text(text)
    settings = load_settings(tmp_path / "sealrun.toml", {"SEALRUN_HOME": "/var/lib/sealrun"}, tmp_path)
    assert settings.http is not None
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    assert settings.http.place.port == container["ports"][0]["containerPort"]
    assert settings.watches[0].path in {mount["mountPath"] for mount in container["volumeMounts"]}
    probes = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert probes == {"/-/healthy", "/-/ready"}


@pytest.mark.parametrize(("trained", "code"), [("touch $3/model", 0), ("touch $3/log; exit 3", 1)])
def test_a_job_publishes_what_it_trained_and_ends_as_the_training_did(trained: str, code: int, tmp_path: Path) -> None:
    pod = of_kind("Job")["spec"]["template"]["spec"]
    scripts = [each["args"][0] for each in (*pod["initContainers"], *pod["containers"])]
    environment = reader_environment(tmp_path / "home")
    (tmp_path / "home/bin/python").write_text(f"#!/bin/sh\n{trained}\n")
    (tmp_path / "sealrun.toml").write_text('version = 1\nregistry.main.url = "registry"\n')
    for number, script in enumerate(scripts):
        line = script.replace("/out", str(tmp_path / "out"))
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == (code if number else 0), done.stderr
    shown = subprocess.run(
        ["/bin/sh", "-c", "sealrun ls training --json"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert json.loads(shown.stdout)["status"] == ("success" if code == 0 else "failed")


def test_the_health_check_of_the_image_is_a_program_that_python_takes() -> None:
    (line,) = re.findall(r"(?m)^  CMD (\[.*\])$", DOCKERFILE.read_text())
    python, flag, program = json.loads(line)
    assert (python, flag) == ("python", "-c")
    compile(program, "healthcheck", "exec")
    assert "/-/healthy" in shlex.quote(program)
