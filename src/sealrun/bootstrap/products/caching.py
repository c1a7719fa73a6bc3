"""What is kept in the user's cache, for whoever looks into it or cleans it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sealrun.adapters.caches.copy_cache import CopyCache
from sealrun.adapters.caches.file_cache import DEFAULT_LIMIT, user_cache_folder
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.upkeep.caching import Cached, Cleaning, plan_cleaning
from sealrun.settings.quantities import parse_size


def user_cache_limit(environ: Mapping[str, str]) -> int:
    """Bytes that may be kept of whole files, and as many of copies: ``$SEALRUN_CACHE_LIMIT``, such as 20GiB."""
    named = environ.get("SEALRUN_CACHE_LIMIT")
    if not named:
        return DEFAULT_LIMIT
    try:
        return parse_size(int(named) if named.isdigit() else named)
    except ValueError as error:
        msg = f"$SEALRUN_CACHE_LIMIT: {error}"
        raise ConfigurationError(msg) from error


class UserCache:
    """The cache of whoever runs this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Find it; nothing is made."""
        self.folder = user_cache_folder(environ)
        self.limit = user_cache_limit(environ)
        self._copies = CopyCache(self.folder, self.limit)

    def path(self, each: Cached) -> Path:
        """Where it is."""
        return self.folder / each.place

    def kept(self) -> list[Cached]:
        """Everything that is kept, what was used least lately first."""
        return sorted(self._copies.kept(), key=lambda each: (each.used, each.place))

    def clean(self, *, keep: int = 0, older_s: float = 0.0, dry_run: bool) -> Cleaning:
        """Remove what was used least lately, until `keep` bytes are there; nothing that was used in `older_s` seconds.

        What a process that still runs has asked for stays. With `dry_run` nothing is done, and no lock is taken.
        """
        plan = partial(plan_cleaning, keep=keep, unused_since=time.time() - older_s if older_s else None)
        if dry_run or not self.folder.is_dir():
            return plan(self.kept())
        return self._copies.clean(plan)
