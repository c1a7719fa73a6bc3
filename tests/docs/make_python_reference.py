"""Writes the reference of the Python interface from its docstrings: ``python -m tests.docs.make_python_reference``.

`test_python_reference.py` compares: whoever changes a public name, its signature or its docstring runs this again.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from tests.docs.pages import DOCS

import sealrun

PAGE = DOCS / "reference" / "python.md"
BEGIN = "<!-- from the docstrings, by tests/docs/make_python_reference.py -->\n"
_MAX_LINE = 100
_CODE = re.compile(r"(?<!`)``([^`]+)``(?!`)")


def main() -> None:
    """Write the page again."""
    PAGE.write_text(page_with(PAGE.read_text(), reference()))


def page_with(page: str, text: str) -> str:
    """Return the page with `text` in the place of what was generated before."""
    return page.partition(BEGIN)[0] + BEGIN + text


def reference() -> str:
    """What the docstrings say of every public name, by name."""
    names = sorted((name for name in sealrun.__all__ if not name.startswith("_")), key=str.lower)
    text = "\n".join(line for name in names for line in _entry(name))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _entry(name: str) -> Iterator[str]:
    thing = getattr(sealrun, name)
    yield from ("", f"## sealrun.{name}", "")
    yield from _described(name, thing)
    if isinstance(thing, type):
        for inner, member in _members(thing):
            yield from (f"### {name}.{inner}", "")
            yield from _described(f"{name}.{inner}", member)


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Public methods and properties, those of bases that are not public themselves included, in order."""
    seen: set[str] = set()
    public = {getattr(sealrun, name) for name in sealrun.__all__ if name in sealrun._HOMES}
    for base in kind.__mro__:
        ours = base.__module__.startswith("sealrun") and (base is kind or base not in public)
        for name, member in vars(base).items() if ours else ():
            documented = isinstance(member, property | classmethod | staticmethod) or inspect.isfunction(member)
            if documented and not name.startswith("_") and name not in seen and _doc(member):
                seen.add(name)
                yield name, member


def _described(name: str, thing: object) -> Iterator[str]:
    head = signature(name, thing)
    if head:
        yield from ("```text", head, "```", "")
    yield from (_prose(_doc(thing)), "")
    init = vars(thing).get("__init__") if isinstance(thing, type) else None
    if inspect.isfunction(init) and init.__doc__ and init.__module__.startswith("sealrun"):
        yield from (_prose(inspect.cleandoc(init.__doc__)), "")


def _doc(thing: object) -> str:
    inner = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
    return inspect.getdoc(inner) or ""


def signature(name: str, thing: object) -> str:
    """How it is called, or for a property what it is; one argument a line if one line does not hold them all."""
    if isinstance(thing, property):
        answer = "" if thing.fget is None else thing.fget.__annotations__.get("return", "")
        return f"{name}: {answer}"
    called = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
    if not callable(called) or (isinstance(called, type) and issubclass(called, BaseException)):
        return ""
    parameters = list(inspect.signature(called).parameters.values())
    if not isinstance(called, type) and parameters and parameters[0].name in {"self", "cls"}:
        parameters = parameters[1:]
    words = list(_words(parameters))
    answer = "" if isinstance(called, type) else called.__annotations__.get("return", "")
    arrow = f" -> {answer}" if answer else ""
    line = f"{name}({', '.join(words)}){arrow}"
    if len(line) <= _MAX_LINE:
        return line
    inside = "".join(f"    {word},\n" for word in words)
    return f"{name}(\n{inside}){arrow}"


def _words(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """Parameters as they are written, with the star that makes the rest keywords."""
    starred = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else star
        kind = parameter.annotation if parameter.annotation is not parameter.empty else ""
        text = f"{star}{parameter.name}" + (f": {_name(kind)}" if kind else "")
        yield text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def _name(annotation: object) -> str:
    if isinstance(annotation, str) or hasattr(annotation, "__args__"):
        return str(annotation)
    return getattr(annotation, "__name__", str(annotation))


def _prose(text: str) -> str:
    """Turn a docstring into Markdown: code in single ticks, an indented example into a fence."""
    lines: list[str] = []
    fenced = False
    for line in text.replace("\n::\n", "\n").splitlines():
        indented = line.startswith("    ")
        if indented and not fenced:
            lines.append("```text")
        if fenced and line.strip() and not indented:
            while lines and not lines[-1]:
                lines.pop()
            lines += ["```", ""]
        fenced = indented or (fenced and not line.strip())
        lines.append(line.removeprefix("    ") if fenced else _CODE.sub(r"`\1`", line))
    return "\n".join([*lines, "```"] if fenced else lines)


if __name__ == "__main__":
    main()
