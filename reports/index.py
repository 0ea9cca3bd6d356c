"""The index of a folder of runs: runs, and matrices and ceilings, newest first, each with its verdict and a link."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.measure.files import json_object
from reports.headline import worst
from reports.page import stylesheet, templates, write_page
from reports.rounding import short, time_text
from reports.surroundings import when

TITLE: Final = "<title>choreobench · runs</title>"
"""By which an index of ours is told from a page that someone else put beside the runs."""


@dataclass(frozen=True)
class Row:
    """A run as the index shows it; `link` is empty where the run has no report."""

    run_id: str
    when: str
    scenario: str
    guarantee: str
    fault: str
    broken: str
    verdict: str
    sagas_per_s: str
    response_p99: str
    end_to_end_p99: str
    link: str


@dataclass(frozen=True)
class Sweep:
    """A matrix or a measurement of the ceilings as the index shows it; `claims` are those that hold, of how many."""

    what: str
    when: str
    command: str
    claims: str
    verdict: str
    link: str


PAGES: Final = {"matrix.json": "report.html", "raw.json": "raw.html"}
"""Document of a sweep → the page beside it."""
WORDS: Final = {"held": "valid", "reached": "valid", "broken": "invalid", "not reached": "invalid"}
"""Verdict of a claim → class of its chip; any other is not known."""


def index(runs_folder: Path) -> Path:
    """Render `index.html` into the folder of runs and return its path. Folders that hold neither a run nor a sweep are
    passed over.
    """
    folders = [path for path in sorted(runs_folder.iterdir(), reverse=True) if path.is_dir() and not path.is_symlink()]
    rows = [_row(path) for path in folders if (path / "run.json").is_file()]
    sweeps = [_sweep(path, name) for path in folders for name in PAGES if (path / name).is_file()]
    page = templates().get_template("index.html").render(rows=rows, sweeps=sweeps, css=stylesheet())
    return write_page(runs_folder / "index.html", page)


def refresh(runs_folder: Path) -> None:
    """Renders the index, unless someone else has put a page in its place."""
    if _is_ours(runs_folder / "index.html"):
        index(runs_folder)


def _is_ours(path: Path) -> bool:
    """Whether an index may be written there: nothing stands there yet, or an index that this module wrote."""
    return not path.exists() or TITLE in path.read_text(encoding="utf-8", errors="replace")


def _row(folder: Path) -> Row:
    run, verdicts = json_object(folder / "run.json"), json_object(folder / "verdicts.json")
    measured = json_object(folder / "measurements.json")
    return Row(
        run_id=folder.name,
        when=when(folder.name),
        scenario=str(run.get("scenario") or "?"),
        guarantee=str(run.get("guarantee") or "?"),
        fault=str(run.get("fault") or "none"),
        broken=str(run.get("broken") or ""),
        verdict=worst(verdicts.get("verdict")),
        sagas_per_s=short((measured.get("sagas") or {}).get("sagas_per_s")),
        response_p99=_p99(measured, "response_latency_ms"),
        end_to_end_p99=_p99(measured, "end_to_end_latency_ms"),
        link=f"{folder.name}/report.html" if (folder / "report.html").is_file() else "",
    )


def _sweep(folder: Path, name: str) -> Sweep:
    document = json_object(folder / name)
    kind = f"matrix {document['kind']}" if document.get("kind") else "raw"
    chips = [WORDS.get(str(claim.get("verdict")), "unknown") for claim in document.get("claims") or ()]
    whole = document.get("complete", True)
    worst_of = next((word for word in ("invalid", "unknown") if word in chips), "valid")
    return Sweep(
        what=f"{kind} {document.get('profile') or ''}".strip(),
        when=when(folder.name),
        command=str(document.get("command") or ""),
        claims=f"{chips.count('valid')} of {len(chips)}",
        verdict=worst_of if whole else "unknown",
        link=f"{folder.name}/{PAGES[name]}" if (folder / PAGES[name]).is_file() else "",
    )


def _p99(measured: Mapping[str, Any], name: str) -> str:
    """A closed loop claims no latency, so the index shows none."""
    return short(None) if measured.get("closed_loop") else time_text((measured.get(name) or {}).get("p99"))
