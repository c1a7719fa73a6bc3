"""Opening a file system by its URL through fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sealrun.adapters.stores.fsspec_store import FsspecStore
from sealrun.domain.errors import ConfigurationError, UnavailableError

_EXTRAS = {
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
    "az": "azure",
    "gcs": "gcs",
    "gs": "gcs",
    "sftp": "sftp",
    "ssh": "sftp",
}


def open_fsspec(url: str, scheme: str, options: Mapping[str, Any]) -> FsspecStore:
    """Open `url` with a file system instance of its own, so that nobody else's cache answers."""
    import fsspec  # noqa: PLC0415 - loads slowly

    where = without_secrets(url)
    own = dict(options)
    parallel = int(own.pop("parallel", 8))
    try:
        fs, root = fsspec.url_to_fs(url, skip_instance_cache=True, **own)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        advice = f"pip install 'sealrun[{extra}]'" if extra else "install the package that fsspec needs for it"
        raise ConfigurationError(f"{where}: the package for {scheme}:// is not installed; {advice}") from error
    except ValueError as error:
        raise ConfigurationError(f"{where}: fsspec knows no {scheme}://, or refuses its options") from error
    except TypeError as error:
        raise ConfigurationError(f"{where}: the file system refuses a storage option") from error
    except Exception as error:
        raise UnavailableError(f"{where}: cannot be opened ({type(error).__name__})") from error
    return FsspecStore(fs, root, where, parallel=parallel)


def without_secrets(url: str) -> str:
    """Return `url` without password, query and fragment, which may hold keys."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
