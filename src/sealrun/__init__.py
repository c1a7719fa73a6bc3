"""Seals run folders, publishes them deduplicated to every registry, and keeps them findable.

What is public is in ``__all__``. A name is imported when it is used first: ``import sealrun`` alone loads nothing else.
"""

TYPE_CHECKING = False  # to type checkers it is true; `typing` would have to be imported
if TYPE_CHECKING:
    from sealrun.api.artifacts import ManifestRow, PublishedFile, latest_manifest, publish, resolve
    from sealrun.api.content import Built, build_once, exists, get, get_metadata, put
    from sealrun.api.reading import RegistryReader, SealedFolder, open_registry
    from sealrun.api.types import Dependency, depends_on
    from sealrun.notebook import load_ipython_extension, unload_ipython_extension
    from sealrun.recording import (
        Paths,
        RunContext,
        RunWriter,
        Terminated,
        Trigger,
        Written,
        detect_trigger,
        mark_complete,
        record_command,
        seal_in_place,
        write_bytes,
        write_json,
        write_parquet,
        write_text,
    )

__all__ = [
    "Built",
    "Dependency",
    "ManifestRow",
    "Paths",
    "PublishedFile",
    "RegistryReader",
    "RunContext",
    "RunWriter",
    "SealedFolder",
    "Terminated",
    "Trigger",
    "Written",
    "__version__",
    "build_once",
    "depends_on",
    "detect_trigger",
    "exists",
    "get",
    "get_metadata",
    "latest_manifest",
    "load_ipython_extension",
    "mark_complete",
    "open_registry",
    "publish",
    "put",
    "record_command",
    "resolve",
    "seal_in_place",
    "unload_ipython_extension",
    "write_bytes",
    "write_json",
    "write_parquet",
    "write_text",
]

__version__ = "0.1.0"

# Where each name is. Its import may be above the line of another: this is the face of all rooms, and part of none.
_ARTIFACTS = "sealrun.api.artifacts"
_CONTENT = "sealrun.api.content"
_NOTEBOOK = "sealrun.notebook"
_READING = "sealrun.api.reading"
_RECORDING = "sealrun.recording"
_TYPES = "sealrun.api.types"
_HOMES = {
    "ManifestRow": _ARTIFACTS,
    "PublishedFile": _ARTIFACTS,
    "latest_manifest": _ARTIFACTS,
    "publish": _ARTIFACTS,
    "resolve": _ARTIFACTS,
    "Built": _CONTENT,
    "build_once": _CONTENT,
    "exists": _CONTENT,
    "get": _CONTENT,
    "get_metadata": _CONTENT,
    "put": _CONTENT,
    "load_ipython_extension": _NOTEBOOK,
    "unload_ipython_extension": _NOTEBOOK,
    "RegistryReader": _READING,
    "SealedFolder": _READING,
    "open_registry": _READING,
    "Dependency": _TYPES,
    "depends_on": _TYPES,
    "Paths": _RECORDING,
    "RunContext": _RECORDING,
    "RunWriter": _RECORDING,
    "Terminated": _RECORDING,
    "Trigger": _RECORDING,
    "Written": _RECORDING,
    "detect_trigger": _RECORDING,
    "mark_complete": _RECORDING,
    "record_command": _RECORDING,
    "seal_in_place": _RECORDING,
    "write_bytes": _RECORDING,
    "write_json": _RECORDING,
    "write_parquet": _RECORDING,
    "write_text": _RECORDING,
}


def __getattr__(name: str) -> object:
    """Import a public name when it is used first."""
    if name not in _HOMES:
        msg = f"module 'sealrun' has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - `import sealrun` alone loads nothing else

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every public name, imported or not."""
    return sorted({*globals(), *__all__})
