"""The processes of a run besides the runner: `python -m bench.process ROLE RUN_FOLDER [NAME LIFE]`.

Each reads the run's spec, builds what it is and hands it an observer; `system/` does not know that it is measured.
"""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.recording.live import read_along
from bench.recording.observer import FileObserver
from bench.spec import RunSpec, load_spec
from bench.waiting import wait_until
from loadgen.arrival import schedule
from loadgen.driver import Plan, drive
from loadgen.history import create_history, open_history
from system.kafka.config import Membership
from system.runtime.failpoints import Failpoints
from system.runtime.guarantees import GUARANTEES
from system.runtime.observer import NullObserver, Observer
from system.runtime.worker import Worker
from system.runtime.worker_config import WorkerConfig

HISTORY = "raw/history"
GO = "raw/go"
READY = "raw/driver-ready"
FAULTY = "raw/fault-open"
"""There while something is struck and not healed."""
GO_DEADLINE_S = 600.0
TWIN_SLOT = 100
"""Slot n's twin has slot 100 + n in its own records; there are never so many workers of a service."""


def _stopping() -> threading.Event:
    """Set by SIGTERM. SIGINT is the runner's to answer: it stops its processes in order."""
    event = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: event.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return event


def worker(spec: RunSpec, name: str, life: int) -> int:
    """One worker of a service, until SIGTERM."""
    return _work(spec, name, life, FileObserver(spec.path, name))


def twin(spec: RunSpec, name: str, life: int) -> int:
    """A worker that takes itself for another: `pay-100` for `pay-0`, whose client and transactional id it has."""
    service, _, slot = name.rpartition("-")
    original = f"{service}-{int(slot) - TWIN_SLOT}"
    return _work(spec, original, life, FileObserver(spec.path, name), is_twin=True)


def replayer(spec: RunSpec, name: str, life: int) -> int:
    """The same over a log that was read before; it is not recorded."""
    return _work(spec, name, life, NullObserver())


def _work(spec: RunSpec, name: str, life: int, observer: Observer, *, is_twin: bool = False) -> int:
    stop = _stopping()
    service, _, slot = name.rpartition("-")
    settings = WorkerConfig(
        name=name,
        prefix=spec.prefix,
        dsn=spec.dsn,
        connection=spec.connection,
        guarantee=GUARANTEES[spec.guarantee],
        session_timeout_ms=spec.session_timeout_ms,
        membership=Membership(spec.group_protocol, spec.assignor, spec.static_members),
        partitions=spec.partitions,
        crashes=() if is_twin else spec.crash_of(service, slot=int(slot), life=life),
        stopping=stop.is_set,
    )
    _collect_seldom()
    member = Worker(spec.services()[service], spec.wrong().worker(settings), observer)
    observer.event("process-ready")
    return member.run(stop.is_set)


def _collect_seldom() -> None:
    """A batch is a hundred thousand objects that reference counts free; to look through them for cycles every 700 of
    them costs a worker 4 % of its time.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


def driver(spec: RunSpec, name: str, life: int) -> int:
    """The load: waits for the go, drives every operation that is not yet sent, and drains."""
    stop = _stopping()
    observer = FileObserver(spec.path, name)
    folder = spec.path / HISTORY
    if not (folder / "history.json").exists():
        create_history(folder, operations=spec.operations, warm_up=spec.warm_up)
    history = open_history(folder, writable=True)
    failpoints = Failpoints(spec.crash_of("checkout", slot=0, life=life), observer)
    scenario = spec.described()
    target = spec.wrong().load(scenario.open_load(spec, observer, failpoints.passed))
    observer.event("process-ready")
    (spec.path / READY).touch()
    wait_until(lambda: (spec.path / GO).exists() or stop.is_set(), deadline_s=GO_DEADLINE_S, why="the go", poll_s=0.005)
    plan = Plan(intended_ns=_intended(spec), window=spec.window, drain_deadline_s=spec.drain_deadline_s)
    drive(
        spec.wrong().plan(plan, history),
        target,
        history,
        stop=stop,
        announce=lambda phase: observer.event("phase-began", phase=phase),
        disturbed=(spec.path / FAULTY).exists,
    )
    if left := target.left_behind():
        observer.event("quiescence-missed", reason=left)
    return 0


def _intended(spec: RunSpec) -> "np.ndarray[tuple[int], np.dtype[np.int64]] | None":
    if spec.rate_per_s is None:
        return None
    return schedule(spec.arrival, rate_per_s=spec.rate_per_s, operations=spec.operations, seed=spec.seed)


def live_reader(spec: RunSpec, _name: str, _life: int) -> int:
    """The second reader, which sees what was visible while the load ran."""
    stop = _stopping()
    # It watches; when the system under test wants the processor, it waits.
    os.nice(10)
    read_along(spec.connection, spec.topics(), spec.path, stop.is_set)
    return 0


def seeder(spec: RunSpec, _name: str, _life: int) -> int:
    """Fills the tables, in a process of its own: the runner keeps none of the memory."""
    began = time.monotonic()
    scenario = spec.described()
    scenario.seed_tables(spec)
    print(f"seeded in {time.monotonic() - began:.1f} s")
    return 0


ROLES: dict[str, Callable[[RunSpec, str, int], int]] = {
    "worker": worker,
    "twin": twin,
    "replayer": replayer,
    "driver": driver,
    "live-reader": live_reader,
    "seeder": seeder,
}


def role_of(name: str) -> str:
    """The role of a process that is kept alive while the load goes on."""
    if name == "driver":
        return name
    return "twin" if int(name.rpartition("-")[2]) >= TWIN_SLOT else "worker"


def main(argv: Sequence[str]) -> int:
    """`ROLE RUN_FOLDER NAME LIFE` → exit code."""
    role, folder, name, life = argv
    return ROLES[role](load_spec(Path(folder)), name, int(life))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
