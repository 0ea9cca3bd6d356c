"""The low watermark never passes a half-finished transaction and is never pinned behind a finished one."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from system.runtime.pending import Half, PartitionPending, PendingChange, apply_change, rebuild

Log = Sequence[tuple[str, str]]
"""(transaction, half) of each record."""


def fold(log: Log) -> PartitionPending:
    """The state after reading the whole log once, as the service does."""
    state = PartitionPending()
    pending = {0: state}
    decided: set[str] = set()
    for offset, (key, half) in enumerate(log):
        change = PendingChange([], [], [])
        seen = state.halves.get(key)
        if key in decided:
            change.skipped.append((0, key, Half(offset, half, None)))
        elif seen is None:
            change.opened.append((0, key, Half(offset, half, None)))
        elif seen.name != half:
            change.closed.append((0, key))
            decided.add(key)
        for partition in apply_change(pending, change, {0: offset + 1}):
            pending[partition].published = pending[partition].low()
    return state


def decided_in(log: Log) -> set[str]:
    return {key for key, half in log if (key, "stock" if half == "pay" else "pay") in log}


LOGS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["pay", "stock"])), max_size=30)


@settings(max_examples=500, deadline=None)
@given(LOGS)
def test_everything_below_the_published_watermark_is_finished(log: list[tuple[str, str]]) -> None:
    published = fold(log).published or 0
    assert all(key in decided_in(log) for key, _ in log[:published])


@settings(max_examples=500, deadline=None)
@given(LOGS)
def test_a_rebuild_from_the_watermark_gives_back_what_was_half_finished(log: list[tuple[str, str]]) -> None:
    before = fold(log)
    low = before.published or 0
    records = [(offset, key, half, None) for offset, (key, half) in enumerate(log)][low:]
    after = rebuild(records, decided_in(log), pos=len(log), published=before.published, horizon=len(log))
    assert after.halves == before.halves
    assert after.low() == before.low()


def test_the_sources_wording_leaves_a_phantom_that_pins_the_watermark() -> None:
    log = [("A", "pay"), ("T", "pay"), ("A", "stock"), ("X", "pay"), ("T", "stock")]
    records = [(offset, key, half, None) for offset, (key, half) in enumerate(log)][3:]
    leaking = rebuild(records, set(), pos=5, published=3, horizon=5)
    right = rebuild(records, {"A", "T"}, pos=5, published=3, horizon=5)
    assert list(leaking.halves) == ["X", "T"]
    assert list(right.halves) == ["X"]


def test_acknowledgements_of_compensations_take_no_part() -> None:
    state = rebuild([(0, "A", None, ["canok", 1])], set(), pos=1, published=0, horizon=1)
    assert not state.halves
    assert state.low() == 1


def test_nothing_is_published_when_a_transaction_that_is_not_the_oldest_finishes() -> None:
    pending = {0: PartitionPending(published=0)}
    opened = [(0, "A", Half(0, "pay", None)), (0, "B", Half(1, "pay", None))]
    assert apply_change(pending, PendingChange(opened, [], []), {0: 2}) == []
    assert apply_change(pending, PendingChange([], [(0, "B")], []), {0: 3}) == []
    assert apply_change(pending, PendingChange([], [(0, "A")], []), {0: 4}) == [0]
    assert pending[0].low() == 4


def test_a_skipped_record_corrects_a_watermark_that_a_crash_left_behind() -> None:
    pending = {0: PartitionPending(published=2)}
    skipped = [(0, "A", Half(8, "pay", None))]
    assert apply_change(pending, PendingChange([], [], skipped), {0: 9}) == [0]


@settings(max_examples=1_000, deadline=None)
@given(LOGS, st.integers(0, 30), st.integers(0, 30), st.lists(st.integers(1, 5), max_size=30))
def test_after_a_crash_no_watermark_falls_or_passes_what_is_not_finished_below_its_position(
    log: list[tuple[str, str]], committed: int, said: int, polls: list[int]
) -> None:
    """The first life read and decided the whole log, published its last L at `said`, and died before it committed more
    than `committed`, which may be less than L.
    """
    committed = min(committed, len(log))
    records = [(offset, key, half, None) for offset, (key, half) in enumerate(log)]
    decided = decided_in(log)
    first = fold(log[:said]).published
    begin = min(first or 0, committed)
    state = rebuild(records[begin:committed], decided, pos=committed, published=first, horizon=len(log))
    published = [] if state.low() == first else [(state.low(), state.pos)]
    state.published = state.low()
    while state.pos < len(log):
        until = min(len(log), state.pos + (polls.pop() if polls else 5))
        change = PendingChange([], [], [])
        for offset, key, name, _ in records[state.pos : until]:
            if key in decided:
                change.skipped.append((0, key, Half(offset, name, None)))
            elif key not in state.halves and key not in {opened for _, opened, _ in change.opened}:
                change.opened.append((0, key, Half(offset, name, None)))
        if apply_change({0: state}, change, {0: until}):
            state.published = state.low()
            published.append((state.low(), until))
    for low, pos in published:
        assert all(key in decided_in(log[:pos]) for key, _ in log[:low])
    lows = [first or 0, *(low for low, _ in published)]
    assert lows == sorted(lows)
    half_finished = [offset for offset, (key, _) in enumerate(log) if key not in decided]
    assert state.low() == min(half_finished, default=len(log))


def test_only_what_waited_at_the_last_look_already_has_waited_long() -> None:
    state = PartitionPending()
    state.halves["a"] = Half(0, "pay", 1)
    state.pass_to(1)
    assert state.long_waiting() == []
    state.halves["b"] = Half(1, "pay", 1)
    state.pass_to(2)
    assert state.long_waiting() == ["a"]
    assert state.long_waiting() == ["a", "b"]


def test_what_a_batch_that_is_done_again_needs_has_not_waited_long() -> None:
    """Its decision is durable, but its transaction was aborted: its answer is still to be sent."""
    state = PartitionPending(pos=1)
    state.halves["a"] = Half(0, "pay", 1)
    assert state.long_waiting() == []
    state.horizon = 9
    assert state.long_waiting() == []
    state.pass_to(8)
    assert state.long_waiting() == []
    state.pass_to(9)
    assert state.long_waiting() == ["a"]
