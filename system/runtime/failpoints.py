"""Crash points: armed by name and count, a process kills itself with SIGKILL exactly there."""

import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from system.runtime.observer import Observer

_FORM = re.compile(r"crash:(?P<service>[a-z][a-z0-9-]*)@(?P<point>[a-z-]+)#(?P<count>[1-9][0-9]{0,8})")


class BadFaultPlan(ValueError):
    """A fault plan that does not parse; one line that says what is legal."""


@dataclass(frozen=True, slots=True)
class Crash:
    """SIGKILL of slot 0 of `service` when it passes `point` for the `count`-th time with a batch in hand."""

    service: str
    point: str
    count: int

    def __str__(self) -> str:
        return f"crash:{self.service}@{self.point}#{self.count}"


def parse(plan: str) -> tuple[Crash, ...]:
    """`none`, or crashes joined by `+`: `crash:pay@after-state#3`. Raises `BadFaultPlan`."""
    if plan == "none":
        return ()
    crashes = []
    for part in plan.split("+"):
        match = _FORM.fullmatch(part)
        if match is None:
            raise BadFaultPlan(f"fault plan {plan!r}: {part!r} is neither none nor crash:SERVICE@POINT#N with N >= 1")
        crashes.append(Crash(match["service"], match["point"], int(match["count"])))
    return tuple(crashes)


def _nothing() -> None:
    """Nothing is in hand."""


def die(last_words: Callable[[], None]) -> None:
    """Nothing of this process runs behind the last words: no handler, no flush, no goodbye."""
    last_words()
    os.kill(os.getpid(), signal.SIGKILL)


class Failpoints:
    """Counts how often each armed point is passed. A service's crashes strike one a life, in the order of the plan.

    `last_words` is called before the death, so that what was in hand is on record; `strike` is the death.
    """

    def __init__(
        self,
        armed: Sequence[Crash],
        observer: Observer,
        last_words: Callable[[], None] = _nothing,
        *,
        strike: Callable[[Callable[[], None]], None] = die,
    ) -> None:
        self._last_words = last_words
        self._strike = strike
        self._armed = {crash.point: crash for crash in reversed(armed)}
        self._passed: dict[str, int] = {}
        self._observer = observer

    def passed(self, point: str) -> None:
        """Dies here if this is the armed passing of `point`; the event is on disk before."""
        crash = self._armed.get(point)
        if crash is None:
            return
        self._passed[point] = count = self._passed.get(point, 0) + 1
        if count == crash.count:
            self._observer.event("failpoint-reached", failpoint=str(crash), count=count)
            self._strike(self._last_words)
