"""A run while it goes on, and what `run.json` says of it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.cluster.endpoints import Endpoints
from bench.cluster.process import Process, start
from bench.display import Display
from bench.recording import environment
from bench.recording.observer import FileObserver
from bench.spec import RunSpec, knobs

SCHEMA_VERSION = 1


class ServerDied(Exception):
    """A server that the run had started is gone; what was recorded until then is kept."""


@dataclass(slots=True)
class Run:
    """A run while it goes on."""

    spec: RunSpec
    command: str
    display: Display
    observer: FileObserver
    endpoints: Endpoints
    phases: list[dict[str, Any]] = field(default_factory=list)
    calibration: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    incomplete: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A named stretch of the run, in `run.json` and on the terminal."""
        self.display.phase(name)
        began = time.monotonic_ns()
        try:
            yield
        finally:
            self.phases.append({"name": name, "begin": began, "end": time.monotonic_ns()})

    def start(self, role: str, name: str, life: int) -> Process:
        """A process of the run, which ends with the runner whatever happens."""
        argv = [sys.executable, "-m", "bench.process", role, str(self.spec.path), name, str(life)]
        network = self.endpoints.network
        if network is not None and role == "worker":
            argv = [*network.enter(name), *argv]
        return start(argv, name=name, log=self.spec.path / "logs" / f"{name}.log", env=_environment())

    def alive(self) -> None:
        """Raises `ServerDied` when a server of ours is gone."""
        dead = self.endpoints.dead()
        if dead:
            raise ServerDied("; ".join(dead))


def _environment() -> dict[str, str]:
    # Threads of numeric libraries would compete with the system under test for its two cores.
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def write_run(run: Run) -> None:
    """`run.json`, whole or not at all."""
    spec = run.spec
    checkout = environment.checkout()
    content = {
        "schema_version": SCHEMA_VERSION,
        "run_id": spec.path.name,
        "scenario": spec.scenario,
        "guarantee": spec.guarantee,
        "fault": spec.fault,
        "broken": spec.broken,
        "condition": spec.wrong().condition,
        "seed": spec.seed,
        "prefix": spec.prefix,
        "command": run.command,
        "knobs": knobs(spec),
        "environment": run.environment,
        "commit": checkout.commit,
        "dirty": checkout.dirty,
        "phases": run.phases,
        "calibration": run.calibration,
    }
    if run.incomplete is not None:
        content["incomplete"] = run.incomplete
    partial = spec.path / "run.json.partial"
    partial.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    partial.replace(spec.path / "run.json")
