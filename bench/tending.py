"""What the runner does while the system works: it starts the processes, tends them under load, waits for quiet."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from bench import provision
from bench.cluster.process import Process
from bench.cluster.shield import shielded
from bench.nemesis.nemesis import Nemesis
from bench.process import HISTORY, READY, role_of
from bench.recording.quiescence import await_quiescence
from bench.run import Run
from bench.waiting import DeadlineExceeded, wait_until
from loadgen.history import History, open_history, read_progress
from system.runtime.supervisor import Supervisor

READY_DEADLINE_S = 300.0
STALL_DEADLINE_S = 180.0
WATCH_PERIOD_S = 0.5


def primed(run: Run, stack: ExitStack) -> tuple[Supervisor, Process]:
    """The system's processes under their supervisor and the live reader, up and with every partition owned; `stack`
    ends them. Raises `DeadlineExceeded`, `ServerDied`, `GaveUp`.
    """
    spec = run.spec
    reader = run.start("live-reader", "live-reader", 0)
    stack.callback(shielded(reader.kill))
    names = [*spec.worker_names(), "driver"]
    supervisor = Supervisor(names, lambda name, life: run.start(role_of(name), name, life), run.observer)
    stack.callback(shielded(supervisor.stop))
    run.observer.event("process-started", process="live-reader", pid=reader.pid, life=0)

    def ready() -> bool:
        _tend(run, supervisor)
        return (spec.path / READY).exists()

    wait_until(ready, deadline_s=READY_DEADLINE_S, why="the driver to be ready", poll_s=0.1)
    provision.await_owned(spec, lambda: _tend(run, supervisor))
    return supervisor, reader


def _tend(run: Run, supervisor: Supervisor) -> None:
    supervisor.tend()
    run.alive()


def load(run: Run, supervisor: Supervisor, nemesis: Nemesis, lag: Callable[[], dict[str, int]]) -> None:
    """Tends the processes until the driver has ended and what was struck has recovered; a load that stands still too
    long is given up, not waited for.
    """
    history = open_history(run.spec.path / HISTORY)
    moved = (0, time.monotonic())
    watched_ns = 0
    while not (supervisor.is_done("driver") and nemesis.is_at_peace):
        _tend(run, supervisor)
        if time.monotonic_ns() - watched_ns >= WATCH_PERIOD_S * 1e9:
            watched_ns = _watch(run, history)
        progress = read_progress(history)
        if supervisor.is_done("driver"):
            nemesis.load_ended()
        nemesis.tend(progress.measure_began_ns)
        if progress.finished + progress.sent != moved[0] or not nemesis.is_at_peace:
            moved = (progress.finished + progress.sent, time.monotonic())
        elif time.monotonic() - moved[1] > STALL_DEADLINE_S:
            raise DeadlineExceeded(f"no operation was sent or finished for {STALL_DEADLINE_S:g} s")
        run.display.progress(progress, run.spec, lag())
        _pause(supervisor)
    nemesis.load_ended()
    progress = read_progress(history)
    names = ("warm-up", "measure", "drain")
    bounds = (progress.warmup_began_ns, progress.measure_began_ns, progress.drain_began_ns, progress.ended_ns)
    for name, begin, end in zip(names, bounds, bounds[1:], strict=False):
        if begin and end:
            run.phases.append({"name": name, "begin": begin, "end": end})


def _watch(run: Run, history: History) -> int:
    """How many are sent by now: a generator's stamps are its own word, this is the runner's. When it looked."""
    counted_ns = time.monotonic_ns()
    run.observer.event("load-watched", sent=history.first_unsent(), counted_ns=counted_ns)
    return counted_ns


def _pause(supervisor: Supervisor) -> None:
    """A tenth of a second, or until the driver ends."""
    began = time.monotonic()
    wait_until(
        lambda: supervisor.is_done("driver") or time.monotonic() - began > 0.1,
        deadline_s=5,
        why="the next look",
        poll_s=0.05,
    )


def quiesce(run: Run, supervisor: Supervisor) -> None:
    """Waits until nothing visible is left to read. A system that does not get there is judged for it, not waited
    for.
    """
    spec = run.spec
    try:
        _tend(run, supervisor)
        deadline_s = spec.drain_deadline_s
        await_quiescence(spec.connection, spec.groups(), deadline_s=deadline_s, also=spec.nothing_to_relay)
    except DeadlineExceeded as error:
        run.observer.event("quiescence-missed", reason=str(error))
        run.display.say(f"not quiescent: {error}")
