"""Pure values and rules: no clock, no logging, no file system, no network.

A reader finds the format in :mod:`~sealrun.domain.address` (every key) and
:mod:`~sealrun.domain.records` (every byte of a record); what is true of a run in
:mod:`~sealrun.domain.runs.manifest` and :mod:`~sealrun.domain.runs.run`; and who may decide what in
:mod:`~sealrun.domain.registry`.
"""
