"""The driver against a system made of events: what is sent when, what ends how, and that nothing stops it."""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.waiting import wait_until
from loadgen.arrival import schedule
from loadgen.driver import NOT_BEGUN, Plan, drive
from loadgen.history import History, create_history, settled_outcomes
from loadgen.null_sink import ceiling, null_target
from loadgen.target import (
    FAIL,
    INFO,
    OK,
    Begun,
    Failed,
    FateUnknown,
    Lane,
    NotApplied,
    Outcomes,
    Target,
    Waiting,
    no_finished,
    no_outcomes,
)

Numbers = NDArray[np.int64]


class FakeSystem:
    """Begins each operation as saga (operation, 1); `before` gets each batch and may fail, wait or answer."""

    def __init__(self, before: Callable[["FakeSystem", Numbers], None], *, answers: bool = True) -> None:
        self.before = before
        self.answers = answers
        self.read: queue.SimpleQueue[Outcomes] = queue.SimpleQueue()
        self.opened = self.closed = 0
        self.batches: list[int] = []

    def open(self) -> "FakeSystem":
        self.opened += 1
        return self

    def begin(self, operations: Numbers) -> Begun:
        self.batches.append(len(operations))
        self.before(self, operations)
        if self.answers:
            self.answer(operations)
        tr = np.ones(len(operations), np.int32)
        return Begun(Waiting(operations, operations, tr), no_finished(), time.monotonic_ns())

    def answer(self, operations: Iterable[int]) -> None:
        numbers = np.array(list(operations), np.int64)
        self.read.put(Outcomes(numbers, np.ones(len(numbers), np.int32), numbers % 2 == 0))

    def close(self) -> None:
        self.closed += 1

    def outcomes(self, timeout_s: float) -> Outcomes:
        try:
            return self.read.get(timeout=timeout_s)
        except queue.Empty:
            return no_outcomes()

    def target(self, operations: int, *, batch_max: int = 2_000, sessions: int = 2) -> Target:
        numbers = np.arange(operations, dtype=np.int64)
        lane = Lane(
            name="fake",
            operations=numbers,
            open_session=self.open,
            batch_max=batch_max,
            sessions=sessions,
            gather_s=0.0,
        )
        return Target(lanes=(lane,), entities=operations, outcomes=self.outcomes)


def nothing(system: FakeSystem, operations: Numbers) -> None:
    """Accepts the batch."""


@pytest.fixture
def history(tmp_path: Path) -> History:
    return create_history(tmp_path / "h", operations=200, warm_up=50)


def closed(window: int = 64) -> Plan:
    return Plan(intended_ns=None, window=window, drain_deadline_s=10.0)


def test_every_operation_ends_with_its_own_outcome(history: History) -> None:
    system = FakeSystem(nothing)
    progress = drive(closed(), system.target(200), history, stop=threading.Event())
    assert history.outcome.tolist() == [OK if number % 2 == 0 else FAIL for number in range(200)]
    assert (progress.sent, progress.finished, progress.ok, progress.fail) == (200, 200, 100, 100)
    assert system.opened == system.closed == 2


def test_times_stand_in_the_order_in_which_things_happen(history: History) -> None:
    intended = schedule("poisson", rate_per_s=2_000.0, operations=200, seed=1)
    drive(Plan(intended_ns=intended), FakeSystem(nothing).target(200), history, stop=threading.Event())
    assert (np.diff(history.intended_ns) == np.diff(intended)).all()
    assert (history.intended_ns <= history.sent_ns).all()
    assert (history.sent_ns <= history.acknowledged_ns).all()
    assert (history.acknowledged_ns <= history.completed_ns).all()


def test_phases_are_announced_once_and_in_order(history: History) -> None:
    phases: list[str] = []
    progress = drive(closed(), FakeSystem(nothing).target(200), history, stop=threading.Event(), announce=phases.append)
    assert phases == ["warm-up", "measure", "drain"]
    assert 0 < progress.warmup_began_ns <= progress.measure_began_ns <= progress.drain_began_ns <= progress.ended_ns


def test_without_warm_up_the_run_begins_with_measure(tmp_path: Path) -> None:
    phases: list[str] = []
    history = create_history(tmp_path / "h", operations=10)
    drive(closed(), FakeSystem(nothing).target(10), history, stop=threading.Event(), announce=phases.append)
    assert phases == ["measure", "drain"]


def test_the_closed_loop_keeps_no_more_than_its_window_outstanding(history: History) -> None:
    outstanding: list[int] = []

    def note(system: FakeSystem, operations: Numbers) -> None:
        outstanding.append(int(operations[-1]) + 1 - int((history.outcome != 0).sum()))

    drive(closed(window=16), FakeSystem(note).target(200, sessions=1), history, stop=threading.Event())
    assert max(outstanding) <= 16
    assert (history.outcome != 0).all()


def test_the_schedule_is_kept_while_every_session_is_stuck(history: History) -> None:
    release = threading.Event()

    def stuck(system: FakeSystem, operations: Numbers) -> None:
        assert release.wait(20)

    def watch() -> None:
        wait_until(lambda: history.sent_ns[-1] != 0, deadline_s=20, poll_s=0.001, why="the last to be sent")
        release.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    intended = schedule("constant", rate_per_s=2_000.0, operations=200, seed=1)
    drive(Plan(intended_ns=intended), FakeSystem(stuck).target(200), history, stop=threading.Event())
    watcher.join()
    # A tenth of a second of schedule; a driver that waited for the system would never have sent the last one.
    assert (history.sent_ns - history.intended_ns).max() < 1e9
    assert (history.outcome != 0).all()


def test_what_the_backlog_has_no_room_for_stays_in_the_schedule_with_its_intended_time(history: History) -> None:
    release, stop = threading.Event(), threading.Event()
    entered: list[int] = []

    def stuck(system: FakeSystem, operations: Numbers) -> None:
        entered.append(len(operations))
        stop.set()
        assert release.wait(20)

    system = FakeSystem(stuck)
    plan = Plan(intended_ns=np.zeros(200, np.int64), backlog_max=30, stop_deadline_s=0.0)
    worker = threading.Thread(
        target=drive, args=(plan, system.target(200, batch_max=10, sessions=1), history), kwargs={"stop": stop}
    )
    worker.start()
    wait_until(lambda: entered, deadline_s=20, poll_s=0.001, why="the first batch to be begun")
    release.set()
    worker.join(20)
    sent = int((history.sent_ns != 0).sum())
    assert 30 <= sent < 200
    assert (history.intended_ns == history.intended_ns[0]).all()
    assert settled_outcomes(history, slice(sent, 200))[0].tolist() == [FAIL] * (200 - sent)


def test_an_outcome_read_before_begin_has_returned_is_not_lost(history: History) -> None:
    def early(system: FakeSystem, operations: Numbers) -> None:
        system.answer(operations)
        wait_until(system.read.empty, deadline_s=20, poll_s=0.001, why="the outcomes to be read")

    system = FakeSystem(early, answers=False)
    progress = drive(closed(), system.target(200), history, stop=threading.Event())
    assert progress.finished == 200


def test_repeated_outcomes_end_nothing_twice(history: History) -> None:
    progress = drive(
        closed(),
        FakeSystem(lambda system, operations: system.answer(operations)).target(200),
        history,
        stop=threading.Event(),
    )
    assert (progress.finished, progress.ok + progress.fail) == (200, 200)


@pytest.mark.parametrize(("error", "outcome"), [(NotApplied("DeadlockDetected"), FAIL), (FateUnknown("Lost"), INFO)])
def test_a_failing_batch_gets_the_outcome_of_its_error_and_a_new_session(
    history: History, error: Exception, outcome: int
) -> None:
    def fails_at_first(system: FakeSystem, operations: Numbers) -> None:
        if 0 in operations:
            raise error

    system = FakeSystem(fails_at_first)
    progress = drive(closed(), system.target(200, sessions=1), history, stop=threading.Event())
    failed = system.batches[0]
    assert history.outcome[:failed].tolist() == [outcome] * failed
    assert set(settled_outcomes(history, slice(0, failed))[1]) == {str(error)}
    assert INFO not in history.outcome[failed:]
    assert (progress.finished, progress.errors, system.opened) == (200, 1, 2)


def test_a_part_of_a_batch_may_fail_on_its_own(history: History) -> None:
    class Halves(FakeSystem):
        def begin(self, operations: Numbers) -> Begun:
            begun = super().begin(operations[1:])
            return begun._replace(failed=(Failed(operations[:1], INFO, "Lost"),))

    progress = drive(closed(), Halves(nothing).target(200, sessions=1), history, stop=threading.Event())
    assert progress.info == progress.errors > 0
    assert progress.finished == 200


def test_a_system_that_refuses_sessions_is_asked_again(history: History) -> None:
    class Refusing(FakeSystem):
        def open(self) -> "FakeSystem":
            if self.opened < 3:
                self.opened += 1
                raise NotApplied("OperationalError")
            return super().open()

    progress = drive(closed(), Refusing(nothing).target(200), history, stop=threading.Event())
    assert (progress.finished, progress.errors) == (200, 3)


def test_operations_that_no_session_took_have_certainly_failed(history: History) -> None:
    class Absent(FakeSystem):
        def open(self) -> "FakeSystem":
            raise NotApplied("OperationalError")

    plan = Plan(intended_ns=None, window=200, drain_deadline_s=0.2)
    drive(plan, Absent(nothing).target(200), history, stop=threading.Event())
    outcome, errors = settled_outcomes(history, slice(0, 200))
    assert set(outcome.tolist()) == {FAIL}
    assert set(errors) == {NOT_BEGUN}


def test_an_outcome_reader_that_fails_is_asked_again(history: History) -> None:
    failures = iter((FateUnknown("Transport"), NotApplied("Transport")))

    class Deaf(FakeSystem):
        def outcomes(self, timeout_s: float) -> Outcomes:
            for failure in failures:
                raise failure
            return super().outcomes(timeout_s)

    progress = drive(closed(), Deaf(nothing).target(200), history, stop=threading.Event())
    assert (progress.finished, progress.errors) == (200, 2)


def test_what_never_ends_is_left_open_at_the_deadline(history: History) -> None:
    plan = Plan(intended_ns=None, window=200, drain_deadline_s=0.2)
    progress = drive(plan, FakeSystem(nothing, answers=False).target(200), history, stop=threading.Event())
    assert (progress.sent, progress.finished) == (200, 0)
    assert settled_outcomes(history, slice(0, 200))[0].tolist() == [INFO] * 200


def test_stop_ends_the_sending_and_keeps_what_was_sent(history: History) -> None:
    stop = threading.Event()
    intended = schedule("constant", rate_per_s=10.0, operations=200, seed=1)
    system = FakeSystem(lambda system, operations: stop.set())
    progress = drive(Plan(intended_ns=intended), system.target(200), history, stop=stop)
    assert 0 < progress.sent < 200
    assert progress.finished == progress.sent


def test_a_second_driver_goes_on_behind_what_the_first_had_sent(history: History) -> None:
    history.intended_ns[:] = np.arange(200) + time.monotonic_ns()
    history.sent_ns[:80] = history.intended_ns[:80]
    progress = drive(Plan(intended_ns=np.arange(200)), FakeSystem(nothing).target(200), history, stop=threading.Event())
    assert (progress.finished, progress.warmup_began_ns) == (120, 0)
    assert settled_outcomes(history, slice(0, 80))[0].tolist() == [INFO] * 80
    assert (history.outcome[80:] != 0).all()


def test_an_error_that_is_no_operating_error_is_raised(history: History) -> None:
    def wrong(system: FakeSystem, operations: Numbers) -> None:
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        drive(closed(), FakeSystem(wrong).target(200), history, stop=threading.Event())


def test_lanes_keep_their_own_order_and_share_the_schedule(history: History) -> None:
    taken: dict[str, list[int]] = {"even": [], "odd": []}
    systems = {
        name: FakeSystem(lambda system, operations, name=name: taken[name].extend(operations.tolist()))  # type: ignore[misc]
        for name in taken
    }
    systems["odd"].read = systems["even"].read
    numbers = np.arange(200, dtype=np.int64)
    lanes = tuple(
        Lane(name=name, operations=numbers[number::2], open_session=system.open, sessions=1, gather_s=0.0)
        for number, (name, system) in enumerate(systems.items())
    )
    target = Target(lanes=lanes, entities=200, outcomes=systems["even"].outcomes)
    progress = drive(closed(), target, history, stop=threading.Event())
    assert taken == {"even": list(range(0, 200, 2)), "odd": list(range(1, 200, 2))}
    assert progress.finished == 200


def test_gathering_makes_few_batches_of_many_arrivals(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=1_000)
    system = FakeSystem(nothing)
    lane = Lane(
        name="fake", operations=np.arange(1_000, dtype=np.int64), open_session=system.open, sessions=2, gather_s=0.02
    )
    intended = schedule("constant", rate_per_s=5_000.0, operations=1_000, seed=1)
    drive(
        Plan(intended_ns=intended),
        Target(lanes=(lane,), entities=1_000, outcomes=system.outcomes),
        history,
        stop=threading.Event(),
    )
    assert len(system.batches) <= 15


def test_the_null_sink_gives_the_drivers_own_ceiling() -> None:
    assert ceiling(20_000) > 20_000


def test_the_null_sink_ends_everything_with_success(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=100)
    progress = drive(closed(), null_target(100), history, stop=threading.Event())
    assert progress.ok == 100


def test_counters_and_phases_go_on_over_two_drivers(history: History) -> None:
    phases: list[str] = []
    stop = threading.Event()
    intended = schedule("constant", rate_per_s=100.0, operations=200, seed=1)
    system = FakeSystem(lambda system, operations: stop.set())
    first = drive(Plan(intended_ns=intended), system.target(200), history, stop=stop, announce=phases.append)
    plan = Plan(intended_ns=intended)
    second = drive(plan, FakeSystem(nothing).target(200), history, stop=threading.Event(), announce=phases.append)
    assert 0 < first.finished < second.finished == second.ok + second.fail == 200
    assert phases.count("warm-up") == phases.count("measure") == 1
