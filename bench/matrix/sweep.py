"""Cells swept, up to so many at a time; one whose result is on disk is not tried again, so that a sweep goes on where
it ended.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from bench.check import write
from bench.matrix.cells import Cell, Result
from bench.waiting import wait_until
from verifiers.folder import BadRecording

CELLS: Final = "cells"
POLL_S: Final = 0.1

Results = dict[str, Result]
"""Name of a cell → its result."""


class Attempt(Protocol):
    """A cell that is being tried."""

    @property
    def cell(self) -> Cell:
        """Which."""

    def result(self) -> Result | None:
        """What it found, None while it goes on. Raises what ended it."""


Begin = Callable[[Cell, Results], Attempt | None]
"""Begins a cell, told of the results so far; None: not before one of those that are being tried has ended."""


def sweep(
    folder: Path, cells: Sequence[Cell], begin: Begin, *, jobs: int, ended: Callable[[Result, Results], None]
) -> Results:
    """Every cell's result; a cell begins when those that it rests on have theirs. `ended` is told of each new one, and
    of all of them.

    What is being tried when something is raised is the caller's to end.
    """
    (folder / CELLS).mkdir(parents=True, exist_ok=True)
    known = results(folder, cells)
    waiting = [cell for cell in cells if cell.name not in known]
    running: list[Attempt] = []
    while waiting or running:
        _begin_more(waiting, running, known, begin, jobs)
        why = "a cell to end"
        attempt, result = wait_until(partial(_first, running), deadline_s=float("inf"), why=why, poll_s=POLL_S)
        write(_path(folder, attempt.cell), result)
        running.remove(attempt)
        known[attempt.cell.name] = result
        ended(result, known)
    return known


def _begin_more(waiting: list[Cell], running: list[Attempt], known: Results, begin: Begin, jobs: int) -> None:
    while len(running) < jobs:
        cell = next((cell for cell in waiting if all(base in known for base in cell.bases)), None)
        attempt = None if cell is None else begin(cell, known)
        if cell is None or attempt is None:
            return
        waiting.remove(cell)
        running.append(attempt)


def _first(running: Sequence[Attempt]) -> tuple[Attempt, Result] | None:
    """The first of them that has ended."""
    for attempt in running:
        result = attempt.result()
        if result is not None:
            return attempt, result
    return None


def results(folder: Path, cells: Sequence[Cell]) -> Results:
    """What is on disk. Raises `BadRecording` where a file of ours cannot be read."""
    return dict(_results(folder, cells))


def _results(folder: Path, cells: Sequence[Cell]) -> Iterator[tuple[str, Result]]:
    for cell in cells:
        path = _path(folder, cell)
        if path.exists():
            yield cell.name, _read(path)


def _path(folder: Path, cell: Cell) -> Path:
    return folder / CELLS / f"{cell.name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(orjson.loads(path.read_bytes()))
    except (OSError, orjson.JSONDecodeError) as error:
        raise BadRecording(f"{path}: {error}; remove it, and its cell is tried again") from error
