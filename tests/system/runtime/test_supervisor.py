"""What dies is started again with its next life, what ended well is not, and what dies for ever is given up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals

import pytest

from bench.waiting import wait_until
from system.runtime.observer import NullObserver
from system.runtime.supervisor import RESTARTS_MAX, GaveUp, Supervisor


@dataclass
class Puppet:
    """A child that ends when its code is set."""

    pid: int
    code: int | None = None
    signals: list[Signals] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def signal(self, number: Signals) -> None:
        self.signals.append(number)

    def stop(self, grace_s: float) -> int:
        self.code = 0 if self.code is None else self.code
        return self.code


def supervised() -> tuple[Supervisor, list[tuple[str, int, Puppet]]]:
    started: list[tuple[str, int, Puppet]] = []

    def start(name: str, life: int) -> Puppet:
        started.append((name, life, Puppet(100 + len(started))))
        return started[-1][2]

    return Supervisor(["pay-0", "driver"], start, NullObserver()), started


def tended(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    def look() -> bool:
        supervisor.tend()
        return condition()

    wait_until(look, deadline_s=10, why="the supervisor to act", poll_s=0.01)


def test_a_process_that_was_killed_gets_its_next_life() -> None:
    supervisor, started = supervised()
    started[0][2].code = -9
    tended(supervisor, lambda: len(started) == 3)
    assert started[2][:2] == ("pay-0", 1)
    assert supervisor.pids() == {"pay-0": started[2][2].pid, "driver": started[1][2].pid}


def test_a_process_that_ended_well_is_done() -> None:
    supervisor, started = supervised()
    started[1][2].code = 0
    tended(supervisor, lambda: supervisor.is_done("driver"))
    supervisor.tend()
    assert len(started) == 2


def test_a_process_that_dies_for_ever_is_given_up() -> None:
    supervisor, started = supervised()
    started[0][2].code = 1

    def keep_dying() -> bool:
        for name, _, puppet in started:
            if name == "pay-0":
                puppet.code = 1
        return len(started) > 2 * RESTARTS_MAX

    with pytest.raises(GaveUp, match=f"pay-0 died {RESTARTS_MAX + 1} times"):
        tended(supervisor, keep_dying)


def test_stopping_waits_for_everything_and_says_how_it_ended() -> None:
    supervisor, started = supervised()
    started[0][2].code = -9
    assert supervisor.stop() == {"pay-0": -9, "driver": 0}
    assert supervisor.pids() == {}


def test_what_was_ended_on_purpose_waits_for_its_release_and_comes_back_even_from_a_clean_end() -> None:
    supervisor, started = supervised()
    supervisor.end("pay-0", SIGTERM)
    assert started[0][2].signals == [SIGTERM]
    started[0][2].code = 0
    tended(supervisor, lambda: "pay-0" not in supervisor.pids())
    supervisor.tend()
    assert len(started) == 2
    supervisor.release("pay-0")
    tended(supervisor, lambda: len(started) == 3)
    assert started[2][:2] == ("pay-0", 1)


def test_deaths_on_purpose_are_never_too_many() -> None:
    supervisor, started = supervised()
    for _ in range(RESTARTS_MAX + 2):
        supervisor.end("pay-0", SIGKILL)
        supervisor.release("pay-0")
        started[-1 if len(started) > 2 else 0][2].code = -9
        before = len(started)
        tended(supervisor, lambda before=before: len(started) > before)  # type: ignore[misc]
    assert not supervisor.is_done("pay-0")


def test_one_more_process_comes_and_goes_without_a_new_life() -> None:
    supervisor, started = supervised()
    supervisor.add("pay-1")
    supervisor.retire("pay-1")
    assert started[2][2].signals == [SIGTERM]
    started[2][2].code = 0
    tended(supervisor, lambda: "pay-1" not in supervisor.stop([]) and "pay-1" not in supervisor.pids())
    supervisor.tend()
    assert len(started) == 3
