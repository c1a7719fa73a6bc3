"""Derivers that come with sealrun: functions of an inputs folder, an output folder and a mode.

``python -m sealrun.derivers MODULE:NAME INPUTS OUTPUT MODE`` calls one; that is what a rule's ``function`` becomes. A
function is called with two `pathlib.Path` and ``"light"`` or ``"full"``; what it returns does not count, what it raises
is the failure.
"""
