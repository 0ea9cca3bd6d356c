"""The stages of a run, each reading the files of the one before: run → measure → check → report."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.check import Verdicts, check
from bench.cluster.endpoints import Wanted
from bench.display import Display
from bench.measure import measure
from bench.runner import execute
from bench.spec import RunSpec
from verifiers.folder import BadRecording

LATEST = "latest"
RUN_FILE = "run.json"


def run_all(spec: RunSpec, wanted: Wanted, *, command: str, display: Display) -> Verdicts:
    """One run from nothing to its report; `latest` beside its folder then points to it."""
    try:
        execute(spec, wanted, command=command, display=display)
    finally:
        if not (spec.path / RUN_FILE).exists():
            shutil.rmtree(spec.path)  # Nothing began; an empty folder would look like a run that was lost.
    display.phase("measure, check, report")
    verdicts = judge(spec.path)
    point_latest(spec.path)
    return verdicts


def judge(folder: Path) -> Verdicts:
    """Measures, checks and renders a run folder from its files alone. Raises `BadRecording`."""
    require_run(folder)
    measure(folder)
    verdicts = check(folder)
    report(folder)
    return verdicts


def require_run(folder: Path) -> None:
    """Raises `BadRecording`, with one line, where `folder` is no run folder."""
    if not folder.is_dir():
        raise BadRecording(f"{folder}: no such folder; legal: a run folder, such as runs/latest")
    if not (folder / RUN_FILE).is_file():
        raise BadRecording(f"{folder}: no {RUN_FILE} in it: this is no run folder")


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
