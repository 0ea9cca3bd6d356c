"""Signals wait behind the shield and arrive when it is lowered."""

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import pytest

from bench.cluster.shield import shield, shielded


def interrupted_twice(done: list[str]) -> None:
    with shield():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    done.append("what follows")


def test_ctrl_c_is_delivered_after_the_block() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_twice(done)
    assert done == ["all of it"]


def test_the_handlers_are_back_after_the_block() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with shield():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def undone(names: Sequence[str], done: list[str]) -> None:
    def interrupted(name: str) -> None:
        signal.raise_signal(signal.SIGINT)
        done.append(name)

    with ExitStack() as stack:
        for name in names:
            stack.callback(shielded(partial(interrupted, name)))


def test_everything_that_a_stack_undoes_is_undone_however_often_it_is_interrupted() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        undone(["started first", "started last"], done)
    assert done == ["started last", "started first"]
