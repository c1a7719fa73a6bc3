"""``sealrun://`` for every library that reads through fsspec: pandas, pyarrow, DuckDB, xarray, Dask and others."""

from sealrun.fsspec_plugin.filesystem import SealrunFileSystem

__all__ = ["SealrunFileSystem"]
