"""The crash matrix as a grid, a row a failpoint and a column a guarantee, with what was observed of each kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.matrix.crash import kinds
from bench.matrix.table import seconds

CLASSES: Final = {"VALID": "valid", "INVALID": "invalid", "UNKNOWN": "unknown"}


@dataclass(frozen=True)
class Square:
    """One cell of the grid: its colour's class, its word, what was found, how fast it recovered, and its run."""

    tone: str
    word: str
    found: tuple[str, ...]
    recovered: str
    link: str


def crash_sections(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a crash matrix."""
    cells = document["cells"]
    columns = list(dict.fromkeys(one["column"] for one in cells))
    rows = list(dict.fromkeys(one["row"] for one in cells))
    at = {(one["row"], one["column"]): _square(one) for one in cells}
    return {
        "columns": columns,
        "grid": [(row, [at.get((row, column)) for column in columns]) for row in rows],
        "observed": _observed(document["observed"]),
        "recoveries": [(one["column"], crash) for one in cells for crash in one["recovery"]],
    }


def _square(cell: Mapping[str, Any]) -> Square:
    wrong, tolerated = kinds(cell, tolerated=False), kinds(cell, tolerated=True)
    found = _listed(wrong or tolerated) or tuple(cell["reasons"][:2])
    word = {"INVALID": "INVALID", "UNKNOWN": "UNKNOWN"}.get(cell["verdict"], "tolerated" if tolerated else "clean")
    # Green alone says that nothing was found; what a guarantee tolerates has a tone of its own.
    tone = "tolerated" if word == "tolerated" else CLASSES[cell["verdict"]]
    recovered = seconds([crash["recovery_ms"] for crash in cell["recovery"]])
    return Square(tone, word, found, recovered, f"{cell['run']}/report.html")


def _listed(found: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{kind} ×{count:,}" for kind, count in found.items())


def _observed(found: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Sequence[str], Sequence[str]]]:
    """(guarantee, kinds that were seen with their counts, tolerated kinds that were not seen) each."""
    return [
        (name, _listed({kind: n for kind, n in counted.items() if n}), [kind for kind, n in counted.items() if not n])
        for name, counted in found.items()
    ]
