"""The cells that are being tried, each by a process that ends with this one."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from bench.cluster.errors import ServerUnavailable
from bench.cluster.process import Process, start
from bench.cluster.servers import stop_all
from bench.endings import SPEAKER, UNAVAILABLE, UNKNOWN, USAGE
from bench.matrix.asked import FOUND, Asked, write_asked
from bench.matrix.cells import Cell, Result
from bench.options import UsageError
from bench.stages import ReportFailed

ATTEMPTS: Final = "attempts"
END_S: Final = 60.0
"""A cell that is told to end heals what it struck, stops its processes and servers and removes its run."""
RAISED: Final = {USAGE: UsageError, UNAVAILABLE: ServerUnavailable, UNKNOWN: ReportFailed}
"""Exit code of a child → what is raised with its line."""


@dataclass(frozen=True)
class Child:
    """A cell that is being tried, in `place`. `judged` says what is kept of what it found."""

    cell: Cell
    process: Process
    place: Path
    began_s: float
    judged: Callable[[Result], Result]

    def result(self) -> Result | None:
        """What it found, None while it goes on. Raises what its own command would end with."""
        code = self.process.poll()
        if code is None:
            return None
        if code != 0:
            raise _failure(self.cell.name, code, self.process)
        found = self.judged(dict(orjson.loads((self.place / FOUND).read_bytes())))
        shutil.rmtree(self.place)
        return {**found, "took_s": round(time.monotonic() - self.began_s, 1)}


class Children:
    """Starts them; whoever still runs when the block ends is stopped. Enter and use it in the main thread."""

    def __init__(self, folder: Path) -> None:
        self._places = folder / ATTEMPTS
        self._all: list[Process] = []

    def __enter__(self) -> Self:
        shutil.rmtree(self._places, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_all([process for process in self._all if process.poll() is None], grace_s=END_S)
        shutil.rmtree(self._places, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Whether a cell is being tried."""
        return any(process.poll() is None for process in self._all)

    def begin(self, asked: Asked, judged: Callable[[Result], Result]) -> Child:
        """Tries a cell."""
        place, name = self._places / asked.cell.name, asked.cell.name
        write_asked(place, asked)
        argv = [sys.executable, "-m", "bench.matrix.alone", str(place), str(os.getpid())]
        process = start(argv, name=name, log=place / "log", death_signal=signal.SIGTERM)
        self._all.append(process)
        return Child(asked.cell, process, place, time.monotonic(), judged)


def _failure(name: str, code: int, process: Process) -> Exception:
    """The line that it ended with, as what the same command in this process would have raised."""
    lines = process.log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.removeprefix(SPEAKER) for line in lines if line.startswith(SPEAKER)]
    if code in RAISED and said:
        return RAISED[code](f"{name}: {said[-1]}")
    return RuntimeError("\n".join([f"the process of cell {name} ended with {code}; its log:", *lines]))
