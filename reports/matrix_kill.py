"""The kill matrix: every mutant with its fate and its catchers, and every checker with how many it caught."""

from collections.abc import Mapping
from typing import Any, Final

from bench.matrix.kill import CLEAN, RECORDING, SYSTEM
from bench.matrix.table import examined

CHIPS: Final = {"caught": "valid", "clean": "valid", "missed": "invalid", "accused": "invalid", "not tried": "unknown"}
"""Fate → class of its chip."""
HEADINGS: Final = {SYSTEM: "Broken systems", RECORDING: "Corrupt recordings", CLEAN: "Clean runs"}


def kill_sections(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a kill matrix."""
    groups = [(HEADINGS[column], [one for one in document["cells"] if one["column"] == column]) for column in HEADINGS]
    return {
        "groups": [(title, [(one, CHIPS[one["fate"]], examined(one)) for one in cells]) for title, cells in groups],
        "checkers": sorted(document["checkers"].items(), key=lambda one: (-one[1]["caught"], one[0])),
    }
