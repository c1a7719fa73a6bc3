"""``environment.json``: what a run depends on that is in none of its files: packages, hardware, chosen variables.

Variables are recorded by name only if the name is on a list; one whose name says that it is a secret never is.
"""

from __future__ import annotations

import fnmatch
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.recording.masking import masked_text, names_a_secret

ENVIRONMENT_FILE = "environment.json"
DEFAULT_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "OMP_*",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "TF_CPP_*",
    "TF_DETERMINISTIC_OPS",
    "TF_FORCE_*",
    "TF_GPU_*",
    "TF_NUM_*",
    "TF_XLA_FLAGS",
    "PYTORCH_*",
    "NCCL_*",
    "CUBLAS_WORKSPACE_CONFIG",
    "PYTHONHASHSEED",
    "CONDA_DEFAULT_ENV",
    "VIRTUAL_ENV",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "TZ",
    "LANG",
    "LC_ALL",
)
"""Names and patterns of variables that decide how a computation goes, and are no secrets."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_*?]*\Z")
_SAME = re.compile(r"[-_.]+")


def checked_variables(names: Iterable[str]) -> tuple[str, ...]:
    """Return names and patterns of variables to record, or raise `UsageError` for one that cannot be."""
    found = tuple(names)
    for name in found:
        if not _NAME.match(name) or not name.strip("*?_"):
            msg = f"not the name of a variable, or a pattern of some: {name!r}"
            raise UsageError(msg)
        if names_a_secret(name):
            msg = f"the variable {name!r} is a secret by its name, and secrets are not recorded: rename or leave it out"
            raise UsageError(msg)
    return found


def capture_environment(environ: Mapping[str, str], variables: Iterable[str] = ()) -> JsonObject:
    """Return what ``environment.json`` holds."""
    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "packages": capture_packages(sys.path),
        "hardware": capture_hardware(),
        "variables": capture_variables(environ, variables),
    }


def capture_variables(environ: Mapping[str, str], variables: Iterable[str] = ()) -> dict[str, str]:
    """Values of the variables on the list and of those in `variables`; secrets inside them are masked."""
    patterns = (*DEFAULT_VARIABLES, *variables)
    return {
        name: masked_text(value, environ)
        for name, value in sorted(environ.items())
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) and not names_a_secret(name)
    }


def capture_packages(path: Iterable[str]) -> dict[str, str]:
    """Every distribution that is installed, and its version, by the names of its folders: none is opened.

    The first on the path counts, as for imports.
    """
    found: dict[str, str] = {}
    for place in path:
        try:
            names = [entry.name for entry in Path(place or ".").iterdir()]
        except OSError:
            continue  # an archive, or nothing
        for name in names:
            stem, _, kind = name.rpartition(".")
            if kind not in {"dist-info", "egg-info"}:
                continue
            package, _, rest = stem.partition("-")
            version = rest.partition("-py")[0] if kind == "egg-info" else rest
            found.setdefault(_SAME.sub("-", package).lower(), version or _asked(place, name))
    return dict(sorted(found.items()))


def _asked(place: str, name: str) -> str:
    """The version of a distribution whose folder does not name it."""
    from importlib.metadata import Distribution  # noqa: PLC0415 - 20 ms that hardly anybody needs

    try:
        said: str | None = Distribution.at(Path(place) / name).version
    except (OSError, ValueError, KeyError):
        said = None
    return said or "unknown"


def capture_hardware() -> JsonObject:
    """Processors, memory and graphics cards, from what the kernel shows; absent what it does not."""
    said: JsonObject = {
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "processor": _line("/proc/cpuinfo", "model name"),
        "memory_bytes": _memory(),
        "gpus": _gpus(Path("/proc/driver/nvidia/gpus")) or None,
        "gpu_driver": _first("/proc/driver/nvidia/version"),
    }
    return {name: value for name, value in said.items() if value is not None}


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _gpus(cards: Path) -> list[str]:
    try:
        return [_line(str(card / "information"), "Model") or card.name for card in sorted(cards.iterdir())]
    except OSError:
        return []


def _line(file: str, name: str) -> str | None:
    """The value of the first line ``name: value``."""
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
    except OSError:
        return None


def _first(file: str) -> str | None:
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as lines:
            return lines.readline().strip() or None
    except OSError:
        return None
