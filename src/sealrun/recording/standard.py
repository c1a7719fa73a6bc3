"""Descriptors 0, 1 and 2 are what is printed to and read from, or nothing: never a file of the run."""

from __future__ import annotations

import os


def reserve_standard_streams() -> None:
    """Have the null device stand where one of the three is closed.

    The next file that is opened would get its number otherwise, and what is printed would be written into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, and those below are taken.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - its only argument
