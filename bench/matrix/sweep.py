"""Cells one after another; one whose result is on disk is not tried again, so that a sweep goes on where it ended."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from bench.check import write
from bench.matrix.cells import Cell, Result
from verifiers.recording import BadRecording

CELLS: Final = "cells"

Results = dict[str, Result]
"""Name of a cell → its result, in the order of the plan."""


def sweep(
    folder: Path, cells: Sequence[Cell], attempt: Callable[[Cell, Results], Result], *, ended: Callable[[Results], None]
) -> Results:
    """Every cell's result. `attempt` is told of the results so far; `ended` is called after each new one."""
    (folder / CELLS).mkdir(parents=True, exist_ok=True)
    known = results(folder, cells)
    for cell in cells:
        if cell.name in known:
            continue
        result = attempt(cell, known)
        write(_path(folder, cell), result)
        known[cell.name] = result
        ended(known)
    return known


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
