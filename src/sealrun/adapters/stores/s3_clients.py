"""The usual way to S3: clients made by s3fs, so that its options, fsspec's settings and the AWS chain all count.

Two clients. The strict one never repeats a request by itself; records are written through it. The bulk one retries
what may be repeated. They share a pool of connections, and cache nothing. (aiohttp, below both, still sends a request
again when a connection that was kept alive turns out to be dead: a lost answer may come back as "exists". The layer
above compares nonces.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from sealrun.adapters.stores.s3_address import Place
from sealrun.adapters.stores.s3_asking import Answer, Manner
from sealrun.adapters.stores.s3_bodies import BytesBody
from sealrun.adapters.stores.s3_errors import Refusal, foreign, refusal_of, translate
from sealrun.adapters.stores.s3_policies import advice
from sealrun.adapters.stores.s3_running import Running
from sealrun.adapters.stores.s3_starting import load_s3fs
from sealrun.domain.errors import ConfigurationError, UsageError

T = TypeVar("T")

_NEEDED = {
    "PutObject": ("IfNoneMatch", "ChecksumSHA256"),
    "UploadPart": ("ChecksumSHA256",),
    "CreateMultipartUpload": ("ChecksumAlgorithm",),
    "UploadPartCopy": (),
    "CompleteMultipartUpload": (),
    "AbortMultipartUpload": (),
    "ListMultipartUploads": (),
    "CopyObject": (),
    "GetObject": (),
    "HeadObject": (),
    "ListObjectsV2": (),
    "DeleteObject": (),
    "DeleteObjects": (),
}
"""Every operation used here, and which of its parameters a client must know for anything to be safe."""
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 60
_BULK_ATTEMPTS = 3
_SPARE_CONNECTIONS = 8
_PLAIN = 64 << 10


class _Client(NamedTuple):
    fs: Any  # the s3fs instance that made the client, and closes it
    api: Any
    extras: Mapping[str, Mapping[str, Any]]  # parameters the user wants on every request, by operation


class _Made(NamedTuple):
    strict: _Client
    bulk: _Client
    loop: asyncio.AbstractEventLoop
    endpoint: str


class Clients:
    """Requests about one bucket through s3fs's clients. Safe to use from many threads, and after a fork."""

    def __init__(self, place: Place, options: Mapping[str, Any], parallel: int) -> None:
        """Connect at the first request, with s3fs's storage `options`; `parallel` requests get a connection each."""
        self._place = place
        self._options = dict(options)
        self._parallel = parallel
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._made: _Made | None = None
        self._inherited: list[_Made] = []
        self._closed = False
        self._answered = False

    def begin(self, operation: str, manner: Manner, parameters: Mapping[str, Any]) -> Running[Answer | Refusal]:
        """Begin a request and do not wait for its answer. A parameter that is not known is an error, never dropped."""
        body = parameters.get("Body")
        if isinstance(body, bytes) and len(body) > _PLAIN:
            parameters = {**parameters, "Body": BytesBody(body)}  # sent bit by bit, so that others get a turn
        return self._start(self._ask(operation, manner, parameters))

    async def _ask(self, operation: str, manner: Manner, parameters: Mapping[str, Any]) -> Answer | Refusal:
        clients = self._clients()
        client = clients.strict if manner.strict else clients.bulk
        known = {"Bucket": self._place.bucket, **client.extras[operation], **parameters}
        fresh = not self._answered
        try:
            send = _get_whole if operation == "get_object" else _send
            answer = await send(client.api, operation, known)
            self._answered = True
        except foreign() as error:
            refusal = refusal_of(error)
            self._answered = self._answered or refusal is not None
            if refusal is not None and manner.expected is not None and manner.expected(refusal):
                return refusal
            said = f"{self._place.url}: {manner.what}"
            takes, once = advice(self._place, operation, parameters), manner.write_once
            raise translate(error, said, clients.endpoint, write_once=once, fresh=fresh, takes=takes) from error
        return answer

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> Running[T]:
        """Start a coroutine where the clients live."""
        try:
            return Running(self._clients().loop, coroutine)
        except BaseException:
            coroutine.close()
            raise

    def close(self) -> None:
        """Close every connection. Harmless twice; requests after it are refused."""
        with self._lock:
            self._closed = True
            made, self._made = self._made, None
        if made is not None and self._pid == os.getpid():
            Running(made.loop, _close(made)).result()

    def _clients(self) -> _Made:
        if self._pid != os.getpid():
            # Forked: the loop's thread stayed behind, and perhaps a holder of the lock. The clients are kept, unused,
            # since closing them would end connections that the parent uses.
            self._pid = os.getpid()
            self._lock = threading.Lock()
            if self._made is not None:
                self._inherited.append(self._made)
                self._made = None
        made = self._made
        if made is not None:
            return made
        with self._lock:
            if self._closed:
                raise UsageError(f"{self._place.url}: this store has been closed")
            if self._made is None:
                self._made = self._connect()
                self._answered = False
            return self._made

    def _connect(self) -> _Made:
        s3fs = load_s3fs()
        from botocore.exceptions import BotoCoreError, ProfileNotFound  # noqa: PLC0415 - loads slowly
        from fsspec.config import apply_config  # noqa: PLC0415 - as above

        options = self._settled(apply_config(s3fs.S3FileSystem, self._options))
        try:
            strict = self._client(options, attempts=1)
            same = {"session": strict.fs.session, "config_kwargs": strict.fs.config_kwargs}
            bulk = self._client({**options, **same}, attempts=_BULK_ATTEMPTS)
        except ProfileNotFound as error:
            raise ConfigurationError(f"{self._place.url}: {error}; see `aws configure list-profiles`") from error
        except (BotoCoreError, ValueError, TypeError, KeyError) as error:
            names = ", ".join(sorted(map(str, self._options))) or "none are set"
            raise ConfigurationError(
                f"{self._place.url}: s3fs does not accept the settings ({type(error).__name__}); "
                f"check the storage_options ({names}), fsspec's and the AWS configuration"
            ) from error
        endpoint = strict.api.meta.endpoint_url
        if urlsplit(endpoint).username is not None:  # not repeated in the message: it may hold a secret
            raise ConfigurationError(f"{self._place.url}: endpoint_url holds no credentials; use key and secret")
        return _Made(strict, bulk, strict.fs.loop, endpoint)

    def _settled(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what both clients are made with."""
        from sealrun.adapters.stores.s3_sessions import one_pool  # noqa: PLC0415 - loads botocore

        wanted = dict(options.get("config_kwargs") or {})
        config = {
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "read_timeout": _READ_TIMEOUT_S,
            **one_pool(),
            **wanted,
            "max_pool_connections": max(wanted.get("max_pool_connections", 0), self._parallel + _SPARE_CONNECTIONS),
        }
        return {**options, "config_kwargs": config, "use_listings_cache": False}

    def _client(self, settled: Mapping[str, Any], *, attempts: int) -> _Client:
        import s3fs  # noqa: PLC0415 - loads slowly

        from sealrun.adapters.stores.s3_sessions import one_name, quick_session  # noqa: PLC0415 - loads botocore
        from sealrun.adapters.stores.s3_signing import sign_with_known_digests  # noqa: PLC0415 - as above
        from sealrun.adapters.stores.s3_times import read_times_quickly  # noqa: PLC0415 - as above

        config = {**settled["config_kwargs"], "retries": {"mode": "standard", "total_max_attempts": attempts}}
        fs = s3fs.S3FileSystem(**{**settled, "config_kwargs": config}, skip_instance_cache=True)
        if fs.session is None:  # the user gives none; s3fs would make one of the same settings
            fs.session = quick_session(fs.kwargs)
            fs.config_kwargs.update(one_name(fs.session, config))
        Running(fs.loop, fs.set_session()).result()
        read_times_quickly(fs.session)
        api = Running(fs.loop, fs.get_s3(self._place.bucket)).result()
        _send_bodies_at_once(api)
        api.meta.events.register_last("before-parameter-build", _ask_no_checksum_of_parts)
        sign_with_known_digests(api)
        return _Client(fs, api, _extras(api, {**fs.s3_additional_kwargs, **fs.req_kw}, self._place))


def _extras(api: Any, wanted: Mapping[str, Any], place: Place) -> Mapping[str, Mapping[str, Any]]:  # noqa: ANN401 - botocore's
    """Sort what the user wants on every request by the operations that know it, and check what we cannot do without.

    `ConfigurationError` if the client's model lacks a parameter: some layers drop what they do not know, and a
    condition that vanishes on the way overwrites what it should have protected.
    """
    import botocore  # noqa: PLC0415 - loads slowly

    model = api.meta.service_model
    sorted_out: dict[str, Mapping[str, Any]] = {}
    methods = {operation: method for method, operation in api.meta.method_to_api_mapping.items()}
    for operation, needed in _NEEDED.items():
        members = model.operation_model(operation).input_shape.members
        lacking = [name for name in needed if name not in members]
        if lacking:
            raise ConfigurationError(
                f"{place.url}: botocore {botocore.__version__} does not know {operation}({', '.join(lacking)}), "
                "without which nothing is safe; install botocore 1.36 or newer, with an aiobotocore that fits"
            )
        sorted_out[methods[operation]] = {name: value for name, value in wanted.items() if name in members}
    return sorted_out


def _send_bodies_at_once(api: Any) -> None:  # noqa: ANN401 - aiobotocore's
    """Do not ask (``Expect: 100-continue``) before each body: it costs every small record a round trip of its own."""
    from botocore import handlers  # noqa: PLC0415 - loads slowly

    asking = getattr(handlers, "add_expect_header", None)
    if asking is not None:
        api.meta.events.unregister("before-call.s3", asking)


def _ask_no_checksum_of_parts(params: dict[str, Any], **_: object) -> None:
    """A part of an object has no checksum. Some servers send that of the whole (rclone does), which no part fits."""
    if "Range" in params:
        params.pop("ChecksumMode", None)


async def _send(api: Any, operation: str, known: Mapping[str, Any]) -> Answer:  # noqa: ANN401 - aiobotocore's
    answer: Answer = await getattr(api, operation)(**known)
    return answer


async def _get_whole(api: Any, operation: str, known: Mapping[str, Any]) -> Answer:  # noqa: ANN401 - aiobotocore's
    """Get with the body read. The client's retries end where the body begins: a connection lost later counts here."""
    for left in range(_BULK_ATTEMPTS - 1, -1, -1):
        answer = await _send(api, operation, known)
        try:
            async with answer["Body"] as body:
                return {**answer, "Body": await body.read()}
        except foreign():
            if not left:
                raise
    raise AssertionError  # the last try returns or raises


async def _close(clients: _Made) -> None:
    for client in (clients.strict, clients.bulk):
        with contextlib.suppress(Exception):  # nothing depends on how a connection ends
            await client.fs._s3creator.__aexit__(None, None, None)  # noqa: SLF001 - s3fs has no public way to close
