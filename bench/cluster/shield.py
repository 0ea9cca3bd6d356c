"""Ctrl-C and SIGTERM wait while servers and processes are being put away.

A second Ctrl-C during the clean-up would otherwise leave half of it undone. The signals are kept, not lost: they are
delivered, once, when the shield is lowered. Only the main thread receives signals in Python, so elsewhere this is idle.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

HELD: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def shield() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back for the length of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, keep) for number in HELD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def shielded(work: Callable[[], object]) -> Callable[[], None]:
    """`work` behind a shield: for what a stack undoes at the end."""

    def done() -> None:
        with shield():
            work()

    return done
