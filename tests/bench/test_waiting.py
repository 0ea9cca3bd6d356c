"""Waiting ends with the answer, or with the reason."""

import time

import pytest

from bench.waiting import DeadlineExceeded, wait_until


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([None, 0, "", 7, 8])
    assert wait_until(lambda: next(answers), deadline_s=5, why="a number", poll_s=0) == 7


def test_a_deadline_of_zero_still_asks_once() -> None:
    assert wait_until(lambda: "yes", deadline_s=0, why="an answer") == "yes"


def test_the_reason_and_the_time_are_told() -> None:
    with pytest.raises(DeadlineExceeded, match=r"waited 0\.01 s for rain"):
        wait_until(lambda: False, deadline_s=0.01, why="rain", poll_s=0.001)


def test_a_long_poll_does_not_overstay_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        wait_until(lambda: False, deadline_s=0.05, why="rain", poll_s=60)
    assert time.monotonic() - began < 10


def test_an_error_of_the_condition_is_not_swallowed() -> None:
    def fails() -> bool:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        wait_until(fails, deadline_s=5, why="nothing")
