"""The stages of a run, each reading the files of the one before: run → measure → check → report."""

import os
import subprocess
import sys
from pathlib import Path

from bench.check import Verdicts, check
from bench.cluster.endpoints import Wanted
from bench.display import Display
from bench.measure import measure
from bench.runner import execute
from bench.spec import RunSpec

LATEST = "latest"


def run_all(spec: RunSpec, wanted: Wanted, *, command: str, display: Display) -> Verdicts:
    """One run from nothing to its report; `latest` beside its folder then points to it."""
    execute(spec, wanted, command=command, display=display)
    display.phase("measure, check, report")
    verdicts = judge(spec.path)
    point_latest(spec.path)
    return verdicts


def judge(folder: Path) -> Verdicts:
    """Measures, checks and renders a run folder from its files alone."""
    measure(folder)
    verdicts = check(folder)
    report(folder)
    return verdicts


class ReportFailed(RuntimeError):
    """The page could not be rendered; the recording and its verdicts are untouched."""


def report(folder: Path) -> Path:
    """Renders `report.html` and the index beside it, in a process of its own: nothing here imports `reports`."""
    done = subprocess.run(
        [sys.executable, "-m", "reports", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise ReportFailed(f"no report of {folder}: {done.stderr.strip().splitlines()[-1:] or ['it said nothing']}")
    return folder / "report.html"


def point_latest(folder: Path) -> None:
    """Renames a fresh link over the old one, so that `latest` always exists."""
    link = folder.parent / f".{LATEST}-{os.getpid()}"
    link.symlink_to(folder.name)
    link.replace(folder.parent / LATEST)
