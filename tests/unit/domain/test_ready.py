"""A class that many threads read for the first time at once is read whole by each."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# In a process of its own, since what goes wrong without `ready` ends it (put `ready = lambda kind: kind` to see that).
_RACE = """
from __future__ import annotations
import sys, threading, types
import msgspec
from sealrun.domain.ready import ready

sys.setswitchinterval(1e-6)
FIELDS = "(msgspec.Struct):\\n    a: dict[str, list[int]]\\n"
SOURCE = "".join(f"class A{n}{FIELDS}    b: A{n - 1} | None = None\\n" for n in range(1, 12))

def read_it(kind, barrier, read):
    barrier.wait()
    made = msgspec.convert({"a": {}, "b": {"a": {"x": [1]}, "b": {"a": {}}}}, ready(kind))
    read.append(made.b.a)

for number in range(60):
    module = types.ModuleType(f"made{number}")
    sys.modules[module.__name__] = module
    module.msgspec = msgspec
    start = f"from __future__ import annotations\\nclass A0{FIELDS}"
    exec(compile(start + SOURCE, module.__name__, "exec"), module.__dict__)
    barrier, read = threading.Barrier(8), []
    threads = [threading.Thread(target=read_it, args=(module.A11, barrier, read)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [{"x": [1]}] * 8
"""


def test_many_threads_may_be_the_first_to_read_a_class() -> None:
    done = subprocess.run([sys.executable, "-c", _RACE], cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_whatever_is_read_as_a_class_is_ready_first() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
        for file in sorted((ROOT / "src").rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and any(names_a_class(kind) for kind in read_as(call))
    ]
    assert found == []


def read_as(call: ast.Call) -> list[ast.expr]:
    """What the call reads something as, if it is one of msgspec that does."""
    name = ast.unparse(call.func)
    named = [keyword.value for keyword in call.keywords if keyword.arg == "type" and name.startswith("msgspec.")]
    if name == "msgspec.convert":
        return [*call.args[1:2], *named]
    return [*call.args[:1], *named] if name.endswith(".Decoder") else named


def names_a_class(kind: ast.expr) -> bool:
    return not ast.unparse(kind).startswith("ready(") and any(
        isinstance(part, ast.Name) and part.id.lstrip("_")[:1].isupper() and part.id not in {"Key", "Digest"}
        for part in ast.walk(kind)
    )
