from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from tests.fakes.store import ModelStore

from sealrun.adapters.stores import open_remover, open_store
from sealrun.adapters.stores.fsspec_facts import has_exclusive_create, translated
from sealrun.adapters.stores.fsspec_opening import without_secrets
from sealrun.adapters.stores.fsspec_store import FsspecStore
from sealrun.adapters.stores.memory import MemoryStore
from sealrun.adapters.stores.posix import PosixStore
from sealrun.domain.address import Key
from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    NoSpaceError,
    OutcomeUnknownError,
    UnavailableError,
)
from sealrun.ports import Capabilities

KEY = Key("registry.json")


def test_a_path_and_a_file_url_open_the_same_directory(tmp_path: Path) -> None:
    for url in (f"{tmp_path}", f"file://{tmp_path}", f"file://localhost{tmp_path}", f"FILE://{tmp_path}/"):
        store = open_store(url)
        assert isinstance(store, PosixStore)
        assert store.url == f"file://{tmp_path}"


def test_a_directory_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="sealrun init"):
        open_store(f"{tmp_path}/deep/registry").read(KEY)
    open_store(f"{tmp_path}/deep/registry", make=True)
    assert (tmp_path / "deep/registry").is_dir()
    with pytest.raises(ConfigurationError):
        open_store(f"{tmp_path}/other", make=True, read_only=True)


def test_memory_stores_of_one_name_share_their_keys() -> None:
    name = uuid4().hex
    one, other = open_store(f"memory://{name}"), open_store(f"memory://{name}/")
    assert isinstance(one, MemoryStore)
    one.create(KEY, b"x")
    assert other.read(KEY) == b"x"
    assert open_store(f"memory://{uuid4().hex}").stat(KEY) is None


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("nonsense://place", {}, "nonsense://"),
        ("file://relative/path", {}, "absolute"),
        ("/tmp/x", {"profile": "sealrun"}, "profile"),  # noqa: S108 - never opened
        ("simplecache::s3://bucket/prefix", {}, "cache"),
    ],
)
def test_what_cannot_be_opened_says_why(url: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_store(url, options)


@pytest.mark.parametrize(("url", "extra"), [("abfs://box@account/x", "azure"), ("gs://bucket/x", "gcs")])
def test_a_missing_package_is_named_by_its_extra(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:  # noqa: ANN401 - the signature of import
        if name.partition(".")[0] in {"adlfs", "gcsfs"}:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=rf"sealrun\[{extra}\]"):
        open_store(url)


def test_only_backends_that_were_read_are_trusted_to_create_exclusively() -> None:
    for protocol in ("file", "memory"):
        fs = fsspec.filesystem(protocol, skip_instance_cache=True)
        assert not has_exclusive_create(fs)
        capabilities = FsspecStore(fs, "/x", "x://x").capabilities
        assert capabilities == Capabilities(write_once=False, verifies_uploads=False, links=False, parallel=8)


def test_addresses_are_shown_without_secrets() -> None:
    assert without_secrets("sftp://user:secret@host:22/path?key=secret#secret") == "sftp://host:22/path"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (PermissionError("token=secret"), AccessDeniedError),
        (OSError("Forbidden: https://x?sig=secret"), AccessDeniedError),
        (OSError(28, "secret"), NoSpaceError),
        (TimeoutError("secret"), UnavailableError),
        (RuntimeError("secret"), UnavailableError),
        (KeyError("secret"), UnavailableError),
    ],
)
def test_whatever_a_backend_raises_is_translated_without_its_text(raised: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught, translated("gs://bucket: key cannot be read"):
        raise raised
    assert "secret" not in str(caught.value)
    if expected is UnavailableError:
        with pytest.raises(OutcomeUnknownError), translated("gs://bucket: key cannot be created", ambiguous=True):
            raise raised


def test_damage_on_the_way_is_found_by_reading_back() -> None:
    class Damaging(type(fsspec.filesystem("memory"))):  # type: ignore[misc] # fsspec has no types
        def cat_file(self, path: str, start: int | None = None, end: int | None = None, **rest: Any) -> bytes:  # noqa: ANN401 - as in fsspec
            return bytes(super().cat_file(path, start=start, end=end, **rest)).replace(b"o", b"0")

    from tests.builders.sources import Bytes  # noqa: PLC0415 - only used here

    store = FsspecStore(Damaging(global_store=False, skip_instance_cache=True), "/registry", "memory://registry")
    with pytest.raises(UnavailableError, match="other bytes"):
        store.put_many([(KEY, Bytes(b"good"))])
    assert store.stat(KEY) is None


def test_a_root_that_was_there_and_is_gone_is_an_outage(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    store = FsspecStore(fsspec.filesystem("file", skip_instance_cache=True), str(root), "file://registry")
    assert store.stat(KEY) is None
    store.put(KEY, b"x")
    assert store.stat(Key("missing")) is None
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError):
        store.stat(KEY)
    with pytest.raises(UnavailableError):
        list(store.list(""))


def test_nobody_gets_a_remover_for_a_store_of_an_unknown_kind() -> None:
    with pytest.raises(ConfigurationError):
        open_remover(ModelStore())
