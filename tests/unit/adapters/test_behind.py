"""What is written behind a reader arrives whole and in order, or its error does."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from sealrun.adapters.run_folders.behind import Behind
from sealrun.domain.errors import NoSpaceError

PIECES = [os.urandom(1 << 20) for _ in range(9)] + [b"the end"]


def test_pieces_arrive_in_order_and_are_digested_as_one() -> None:
    written: list[bytes] = []
    output = Behind(written.append)
    for piece in PIECES:
        output.write(piece)
    assert output.digest() == hashlib.sha256(b"".join(PIECES)).hexdigest()
    assert written == PIECES


def test_a_single_small_piece_needs_no_thread() -> None:
    writers: list[int] = []
    output = Behind(lambda _piece: writers.append(threading.get_ident()))
    output.write(b"small")
    output.digest()
    output.close()
    assert writers == [threading.get_ident()]


def test_what_fails_behind_is_raised_in_front_and_nothing_is_written_after_it() -> None:
    written: list[int] = []

    def fails_at_the_third(piece: bytes) -> None:
        if len(written) == 2:
            raise NoSpaceError("the disk is full")
        written.append(len(piece))

    output = Behind(fails_at_the_third)

    def write_all() -> None:
        for piece in PIECES:
            output.write(piece)

    with pytest.raises(NoSpaceError, match="full"):
        write_all()
    with pytest.raises(NoSpaceError, match="full"):
        output.digest()
    output.close()
    assert len(written) == 2


def test_an_error_in_the_last_piece_is_not_overlooked() -> None:
    def fails(_piece: bytes) -> None:
        raise NoSpaceError("the disk is full")

    output = Behind(fails)
    output.write(PIECES[0])
    with pytest.raises(NoSpaceError, match="full"):
        output.digest()


def test_nothing_is_written_once_it_was_closed() -> None:
    go = threading.Event()
    written: list[bytes] = []

    def slow(piece: bytes) -> None:
        go.wait()
        written.append(piece)

    output = Behind(slow)
    output.write(PIECES[0])
    output.write(PIECES[1])
    go.set()
    output.close()
    assert written == PIECES[:2]
    output.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "sealrun-pack"]
