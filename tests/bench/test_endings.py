"""How a command ends: one line and an exit code, however it is interrupted."""

import signal
from collections.abc import Iterator

import pytest

from bench.endings import INTERRUPTED, ending


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A command has a process of its own, and leaves its handlers behind."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_echo_of_a_signal_does_not_cut_a_clean_up_short(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned: list[str] = []

    def work() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append("all of it")
        return 0

    assert ending(work) == INTERRUPTED
    assert cleaned == ["all of it"]
    assert capsys.readouterr().err.count("\n") == 1
