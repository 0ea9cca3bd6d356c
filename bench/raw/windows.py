"""What every contender of this process is measured by alike: windows, transactions, two threads, single trips."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final

import numpy as np

from bench.raw import settings
from bench.raw.plan import Cell
from bench.raw.site import Sample, Site
from bench.raw.threads import Watch
from bench.recording.errors import RecordingFailed

FLUSH_S: Final = 60.0
STALL_S: Final = 20.0
METADATA_S: Final = 10.0
WAIT_S: Final = 0.2
"""One wait for records: a signal or the end of the other side is heard that soon."""


class Window:
    """From its making to `sample`."""

    def __init__(self, site: Site) -> None:
        self._watch = Watch(site.broker_pid)
        self._begin_s = time.perf_counter()

    def sample(self, records: int, *, stored: int = 0) -> Sample:
        """Closes it: `records` went through, the topic has got `stored` in all."""
        window_s = time.perf_counter() - self._begin_s
        return Sample(records / window_s, records, stored, self._watch.close())


def failed(cell: Cell, reason: object) -> RecordingFailed:
    """The one line about a contender that cannot be measured."""
    return RecordingFailed(f"could not measure {cell.name}: {reason}")


def require_flushed(cell: Cell, left: int) -> None:
    """Raises `RecordingFailed` where a flush has left records."""
    if left:
        raise failed(cell, f"{left} records not acknowledged within {FLUSH_S:g} s")


class Taken:
    """What a consumer has got so far of the records that it shall read."""

    def __init__(self, cell: Cell, records: int) -> None:
        self._cell = cell
        self._records = records
        self._count = 0
        self._payload_bytes = 0
        self._moved_s = time.perf_counter()

    def left(self) -> int:
        """Records still to come."""
        return self._records - self._count

    def add(self, count: int, payload_bytes: int) -> None:
        """Enters a batch, also an empty one. Raises `RecordingFailed` at a standstill, and when the last record has
        come and the payloads have not the size that was sent.
        """
        now_s = time.perf_counter()
        self._count += count
        self._payload_bytes += payload_bytes
        self._moved_s = now_s if count else self._moved_s
        if now_s - self._moved_s > STALL_S:
            raise failed(self._cell, f"{self._count} of {self._records} records came")
        if count and not self.left() and self._payload_bytes != self._records * self._cell.payload_bytes:
            raise failed(self._cell, f"{self._payload_bytes} bytes came in {self._records} records")


def in_transactions(
    records: int, size: int, *, begin: Callable[[], None], send: Callable[[int], None], commit: Callable[[], None]
) -> None:
    """Sends `records`, `size` a call, in transactions that are committed a tenth of a second after they began."""
    sent = 0
    while sent < records:
        begin()
        commit_s = time.perf_counter() + settings.TRANSACTION_S
        while sent < records and time.perf_counter() < commit_s:
            now = min(size, records - sent)
            send(now)
            sent += now
        commit()


def together(
    site: Site, records: int, *, produce: Callable[[], None], take: Callable[[Event], None], stored: int
) -> Sample:
    """`produce` here and `take` in a thread of its own, which gives up when the event is set; to the end of both."""
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        window = Window(site)
        taking = pool.submit(take, stop)
        try:
            produce()
            taking.result()
        finally:
            stop.set()
        return window.sample(records, stored=stored)


def single_trips(site: Site, trips: int, once: Callable[[], None]) -> Sample:
    """Times `once`, again and again; the first tenth does not count."""
    warm_up = trips // 10 + 1
    for _ in range(warm_up):
        once()
    spent_us, watch = np.empty(trips), Watch(site.broker_pid)
    for trip in range(trips):
        begin_ns = time.perf_counter_ns()
        once()
        spent_us[trip] = (time.perf_counter_ns() - begin_ns) / 1000
    return Sample(float(spent_us.mean()), trips, warm_up + trips, watch.close(), spent_us)
