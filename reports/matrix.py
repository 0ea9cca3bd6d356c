"""The page of `choreobench matrix`, from its `matrix.json` alone: `python -m reports.matrix FOLDER`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.measure.files import json_object
from reports.command import render
from reports.matrix_crash import crash_sections
from reports.matrix_kill import kill_sections
from reports.matrix_price import price_sections
from reports.matrix_rebalance import rebalance_sections
from reports.page import stylesheet, templates, write_page
from reports.surroundings import environment, when

TITLES: Final = {
    "crash": ("Crash matrix", "Every service killed at every point between two steps, under every guarantee."),
    "fault": ("Fault matrix", "Every kind of fault under every guarantee: what struck, what it cost, what it broke."),
    "kill": (
        "Kill matrix",
        "Every wrong system and every damaged recording before the checkers that should notice it.",
    ),
    "guarantee": ("The price of correctness", "The same load under every guarantee, in interleaved rounds."),
    "rebalance": ("Rebalance matrix", "Workers that join, leave, crash and are paused, under each group protocol."),
}
SECTIONS: Final = {
    "crash": crash_sections,
    "fault": crash_sections,
    "kill": kill_sections,
    "guarantee": price_sections,
    "rebalance": rebalance_sections,
}
CHIPS: Final = {"held": "valid", "broken": "invalid", "unknown": "unknown"}
"""Verdict of a claim → class of its chip."""


def matrix_page(folder: Path) -> Path:
    """Renders `report.html` into the folder. Raises FileNotFoundError where no readable `matrix.json` is there."""
    document = json_object(folder / "matrix.json")
    if document.get("kind") not in TITLES:
        raise FileNotFoundError(f"{folder}: no matrix.json in it that can be read")
    title, lead = TITLES[document["kind"]]
    page = (
        templates()
        .get_template("matrix.html")
        .render(
            document=document,
            title=title,
            lead=lead,
            when=when(str(document["run_id"])),
            verdict=_verdict(document),
            claims=[(claim, CHIPS[claim["verdict"]]) for claim in document["claims"]],
            environment=environment(document),
            css=stylesheet() + (Path(__file__).parent / "matrix.css").read_text(encoding="utf-8"),
            **SECTIONS[document["kind"]](document),
        )
    )
    return write_page(folder / "report.html", page)


def _verdict(document: Mapping[str, Any]) -> tuple[str, str]:
    """(class, word) of the whole."""
    if not document["complete"]:
        return "unknown", f"{len(document['cells'])} of {document['planned']} cells"
    verdicts = {claim["verdict"] for claim in document["claims"]}
    if "broken" in verdicts:
        return "invalid", "BROKEN"
    return ("unknown", "UNKNOWN") if "unknown" in verdicts else ("valid", "HELD")


def main(arguments: list[str]) -> int:
    """Exit code 0, or 64 with one line that says what is wrong."""
    return render(arguments, matrix_page, usage="python -m reports.matrix FOLDER, where matrix.json is")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
