"""Pure values and rules: no clock, no logging, no file system, no network.

A reader finds the format in :mod:`~sealrun.domain.address` (every key) and
:mod:`~sealrun.domain.records` (every byte of a record); what is true of a run in
:mod:`~sealrun.domain.manifest` and :mod:`~sealrun.domain.run`; and who may decide what in
:mod:`~sealrun.domain.publication`, :mod:`~sealrun.domain.pointing` and :mod:`~sealrun.domain.indexing`.
"""
