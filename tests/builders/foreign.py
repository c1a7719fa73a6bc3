"""Run folders as other tools seal them: records, a structured manifest, sums and their root."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

REGISTRY = "RUN_REGISTRY_v0_1.jsonl"
SCHEMA = "RUN_REGISTRY_v0_1.schema.json"
FILES: Mapping[str, str] = {
    REGISTRY: '{"run_id": "a", "status": "ok"}\n{"run_id": "b", "status": "ok"}\n',
    SCHEMA: '{"type": "object", "required": ["run_id", "status"]}\n',
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def foreign_folder(
    folder: Path, files: Mapping[str, str] = FILES, *, root: str = "ROOT_SHA256 {}", **record: object
) -> Path:
    """Make a sealed folder; `root` is how the line of the root is written."""
    for name, text in {**files, "run.json": json.dumps({"run_id": folder.name, "status": "success", **record})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    listed = [
        {"path": name, "sha256": digest(folder / name), "size": (folder / name).stat().st_size}
        for name in sorted(files)
    ]
    (folder / "manifest.json").write_text(json.dumps({"run_id": folder.name, "files": listed}))
    seal(folder, root)
    return folder


def seal(folder: Path, root: str = "ROOT_SHA256 {}") -> str:
    """Write MANIFEST.sha256 of what is there; return the root."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    lines = "".join(f"{digest(folder / name)}  {name}\n" for name in names if name != "MANIFEST.sha256")
    value = hashlib.sha256(lines.encode()).hexdigest()
    (folder / "MANIFEST.sha256").write_text(f"{lines}{root.format(value)}\n")
    return value
