"""``${VAR}`` in strings, and secrets that come from elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sealrun.domain.errors import ConfigurationError
from sealrun.settings.schema import SecretTable

_VARIABLE = re.compile(r"\$(?:\$|\{([^}]*)(\})?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SOURCES = frozenset({"env", "file", "credential"})
_SECRET_WORDS = re.compile(
    r"secret|token|passw|passphrase|credential|private|signature|(?:^|_)(?:key|sas|auth|authorization)(?:$|_)|_key|"
    r"connection_string|accesskey|apikey|^pwd$",
    re.IGNORECASE,
)
_URL_USER = re.compile(r"://[^/?#\s]*@")
MASK = "***"
SERVICE_CREDENTIALS = "/run/credentials/sealrun.service"
"""Where systemd keeps the credentials of the service while it runs; its user and root may read them by hand, too."""


class Secret:
    """A value that is never shown: its text forms are asterisks. Only `reveal` gives it away."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        """Wrap `value`; `source` says where it came from, for `config show`."""
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the value, to hand it to the store and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that a reload notices a new one."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Surroundings:
    """Where a settings file was read: its folder and the environment."""

    def __init__(self, where: str, folder: Path, environ: Mapping[str, str]) -> None:
        """`where` names the file in messages; relative paths are relative to `folder`."""
        self.where = where
        self.folder = folder
        self.environ = environ

    def wrong(self, setting: str, problem: str) -> ConfigurationError:
        """Build the error that names the file and the setting."""
        return ConfigurationError(f"{self.where}: {setting}: {problem}")

    def path(self, text: str) -> Path:
        """Return `text` as an absolute path without ``.`` and ``..``; ``~`` is the home folder."""
        return _normal(self.folder / _at_home(text, self.environ))

    def expand(self, value: object, setting: str) -> object:
        """Expand ``${VAR}`` in every string of a TOML value; keys are left alone."""
        if isinstance(value, str):
            return self._expand_text(value, setting)
        if isinstance(value, list):
            return [self.expand(item, f"{setting}[{number}]") for number, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.expand(item, f"{setting}.{key}" if setting else key) for key, item in value.items()}
        return value

    def _expand_text(self, text: str, setting: str) -> str:
        def one(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name = match[1]
            if match[2] is None or not _NAME.match(name):
                raise self.wrong(setting, f"{match[0]!r} is no variable; write ${{NAME}}, or $$ for a dollar sign")
            if name not in self.environ:
                raise self.wrong(setting, f"the environment variable {name} is not set")
            return self.environ[name]

        return _VARIABLE.sub(one, text)

    def secret(self, table: SecretTable, setting: str) -> Secret:
        """Fetch the secret that `table` speaks of."""
        given = [(kind, text) for kind in sorted(_SOURCES) if (text := getattr(table, kind)) is not None]
        if len(given) != 1:
            raise self.wrong(setting, 'expected exactly one of { env = "…" }, { file = "…" }, { credential = "…" }')
        kind, text = given[0]
        fetch: dict[str, Callable[[str, str], str]] = {
            "env": self._from_env,
            "file": self._from_file,
            "credential": self._from_credential,
        }
        return Secret(fetch[kind](text, setting), f"{kind} {text}")

    def secrets_in(self, value: object, setting: str) -> object:
        """Replace every secret table inside a value of ``storage_options`` by its `Secret`."""
        if isinstance(value, list):
            return [self.secrets_in(item, f"{setting}[{number}]") for number, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and value.keys() <= _SOURCES and all(isinstance(item, str) for item in value.values()):
            return self.secret(SecretTable(**value), setting)
        return {key: self.secrets_in(item, f"{setting}.{key}") for key, item in value.items()}

    def _from_env(self, name: str, setting: str) -> str:
        if name not in self.environ:
            raise self.wrong(setting, f"the environment variable {name} is not set")
        return self.environ[name]

    def _from_file(self, text: str, setting: str) -> str:
        path = self.path(text)
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise self.wrong(setting, f"the secret cannot be read from {path}: {_why(error)}") from error

    def _from_credential(self, name: str, setting: str) -> str:
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if not folder and os.access(SERVICE_CREDENTIALS, os.X_OK):
            folder = SERVICE_CREDENTIALS
        if not folder:
            problem = (
                f"there is no credential {name!r}: $CREDENTIALS_DIRECTORY is not set (systemd sets it), and no "
                "service runs whose credentials this user may read"
            )
            raise self.wrong(setting, problem)
        if "/" in name or name in {"", ".", ".."}:
            raise self.wrong(setting, f"not the name of a credential: {name!r}")
        return self._from_file(str(Path(folder) / name), setting)


def reveal(value: object) -> object:
    """Return `value` with every `Secret` inside replaced by what it hides. Never print the answer."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    return [reveal(item) for item in value] if isinstance(value, list) else value


def mask(value: object, key: str = "") -> object:
    """Return `value` fit for showing: secrets, and what stands under a key that sounds secret, are asterisks."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):  # below a secret key everything is secret: a table that is misspelled, say
        return {name: mask(item, key if _SECRET_WORDS.search(key) else name) for name, item in value.items()}
    if isinstance(value, list):
        return [mask(item, key) for item in value]
    if _SECRET_WORDS.search(key) and not isinstance(value, bool):
        return MASK
    return _URL_USER.sub(f"://{MASK}@", value) if isinstance(value, str) else value


def _at_home(text: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME")
    return home + text[1:] if home and (text == "~" or text.startswith("~/")) else text


def _normal(path: Path) -> Path:
    import os.path  # noqa: PLC0415 - only its lexical part is wanted: no file system is asked

    return Path(os.path.normpath(path))


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
