"""Sessions of botocore that make a client quickly, and the pool of connections that clients share.

By itself botocore looks into the folders of four hundred services to find one, twice, and reads 2.5 MiB of JSON with
the slowest of decoders: 50 ms of each command. What is found and what is read stay the same, models of the user among
it. (Load lazily: imports botocore.)
"""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import aiobotocore
import aiobotocore.config
import msgspec
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader, create_loader

from sealrun import __version__
from sealrun.adapters.stores.s3_starting import read_when_used


def quick_session(settings: Mapping[str, Any]) -> AioSession:
    """Return what ``AioSession(**settings)`` makes, but quicker."""
    session = AioSession(**settings)
    usual = create_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", _Loader(usual.search_paths, _Files(), include_default_search_paths=False))
    return session


class _Files(JSONFileLoader):  # type: ignore[misc] # untyped
    def load_file(self, file_path: str) -> Any:  # noqa: ANN401 - JSON
        for ending, plain in ((".json", bytes), (".json.gz", gzip.decompress)):
            path = Path(file_path + ending)
            if path.is_file():
                return msgspec.json.decode(plain(path.read_bytes()))
        return None


class _Loader(Loader):  # type: ignore[misc] # untyped
    def list_available_services(self, type_name: str) -> _Services:
        return _Services(self, type_name)

    def list_all(self, type_name: str) -> list[str]:
        names: list[str] = super().list_available_services(type_name)
        return names


class _Services:
    """The services that have a model of some type. To know of one, the others' folders need not be looked at."""

    def __init__(self, loader: _Loader, type_name: str) -> None:
        self._loader = loader
        self._type = type_name

    def __contains__(self, name: str) -> bool:
        try:
            return bool(self._loader.list_api_versions(name, self._type))
        except DataNotFoundError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._loader.list_all(self._type))


def one_name(session: AioSession, config: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the setting that names this program to the server (``User-Agent``); empty where the user has a say.

    botocore by itself puts its own name together from 16 pieces, twice for each request: a tenth of what one costs.
    """
    if "user_agent" in config or config.get("user_agent_appid") or session.get_config_variable("user_agent_appid"):
        return {}
    return {"user_agent": f"sealrun/{__version__} aiobotocore/{aiobotocore.__version__}"}


def one_pool() -> Mapping[str, Any]:
    """Return the setting that gives one pool of connections to all the clients that are made with it.

    Then certificates are read once, if at all, and a connection that one client has made serves the next. Empty where
    aiobotocore is too old to take it: then each has its own.
    """
    pools: list[_Pool] = []

    def pool(**settings: Any) -> _Pool:  # noqa: ANN401 - aiobotocore's, and the same for all
        if not pools:
            pools.append(_Pool(**settings))
        return pools[0]

    return {"http_session_cls": pool} if hasattr(aiobotocore.config, "is_httpx_session_cls") else {}


class _Pool(AIOHTTPSession):  # type: ignore[misc] # untyped
    _entered = False

    async def __aenter__(self) -> Self:
        if not self._entered:
            self._entered = True
            await super().__aenter__()
        return self

    def _get_ssl_context(self) -> ssl.SSLContext:
        return read_when_used(super()._get_ssl_context())
