"""The only place that sleeps: everything that waits for the world waits for a named condition, with a deadline.

A wait without a deadline hangs a run for ever, and a bare sleep is either too short or wasted; both are banned.
"""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class DeadlineExceeded(TimeoutError):
    """A condition did not come true in time; the message says what was awaited and for how long."""


def wait_until(condition: Callable[[], Answer | None], *, deadline_s: float, why: str, poll_s: float = 0.05) -> Answer:
    """Ask `condition` every `poll_s` seconds until its answer is true, and return that answer.

    The condition is asked at least once, and once more after the deadline has passed, so that a slow machine that was
    suspended in between is not mistaken for a condition that never held. Raises `DeadlineExceeded`, which says `why`.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        late = time.monotonic() >= deadline
        answer = condition()
        if answer:
            return answer
        if late:
            raise DeadlineExceeded(f"waited {deadline_s:g} s for {why}")
        time.sleep(max(0.0, min(poll_s, deadline - time.monotonic())))
