"""Signals wait behind the shield and arrive when it is lowered."""

import signal

import pytest

from bench.cluster.shield import shield


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
