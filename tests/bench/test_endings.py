"""How a command ends: one line and an exit code, however it is interrupted."""

import errno
import os
import signal
from collections.abc import Iterator

import pytest

from bench.endings import BUG, INTERRUPTED, UNAVAILABLE, ending


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


@pytest.mark.parametrize(
    ("number", "code", "lines"),
    [(errno.ENOSPC, UNAVAILABLE, 1), (errno.EDQUOT, UNAVAILABLE, 1), (errno.EIO, BUG, None)],
)
def test_a_full_disk_is_one_line_and_another_error_of_the_disk_a_bug(
    number: int, code: int, lines: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise OSError(number, os.strerror(number), "runs/1/raw")

    assert ending(work) == code
    said = capsys.readouterr().err
    assert os.strerror(number) in said
    assert "runs/1/raw" in said
    assert ("Traceback" in said) == (lines is None)
    assert lines is None or said.count("\n") == lines
