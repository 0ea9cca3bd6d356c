import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.recording.convert import acks_table, convert, read_events
from bench.recording.frames import Frame, packed, read_frames
from bench.recording.observer import FileObserver
from system.runtime.observer import NullObserver, Observer, Span, Times


def test_a_batch_becomes_a_journal_row_for_each_partition(tmp_path: Path) -> None:
    observer = FileObserver(tmp_path, "pay-0")
    spans = [Span("x-Pay-topic", 0, 10, 14, 5), Span("x-Pay-topic", 3, 7, 9, 2), Span("x-Other", 1, 0, 0, 1)]
    observer.batch(spans, Times(1, 2, 3, 4, 5), generation=6, transaction="pay-0/1")
    observer.batch(spans[:1], Times(polled_ns=9), generation=7, transaction=None)
    observer.close()
    converted = convert(tmp_path)
    rows = pq.read_table(tmp_path / "journal" / "pay-0.parquet").to_pylist()
    assert converted.torn == 0
    assert converted.rows["journal/pay-0.parquet"] == len(rows) == 4
    assert rows[1] == {
        "generation": 6,
        "topic": "x-Pay-topic",
        "partition": 3,
        "first_offset": 7,
        "last_offset": 9,
        "records": 2,
        "polled_ns": 1,
        "handled_ns": 2,
        "stored_ns": 3,
        "produced_ns": 4,
        "committed_ns": 5,
        "transaction": "pay-0/1",
    }
    assert rows[2]["topic"] == "x-Other"
    assert (rows[3]["transaction"], rows[3]["committed_ns"], rows[3]["generation"]) == (None, 0, 7)


def test_delivery_reports_keep_their_order_and_their_errors(tmp_path: Path) -> None:
    observer = FileObserver(tmp_path, "driver")
    observer.acknowledged("x-Pay-topic", [0, 1], [5, 6], None, None)
    observer.acknowledged("x-Stock-topic", [2, 2, 2], [7, -1, 8], [None, "_MSG_TIMED_OUT", None], "driver-1")
    observer.close()
    convert(tmp_path)
    rows = pq.read_table(tmp_path / "acks" / "driver.parquet").to_pylist()
    assert [(row["topic"], row["partition"], row["offset"], row["error"], row["transaction"]) for row in rows] == [
        ("x-Pay-topic", 0, 5, None, None),
        ("x-Pay-topic", 1, 6, None, None),
        ("x-Stock-topic", 2, 7, None, "driver-1"),
        ("x-Stock-topic", 2, -1, "_MSG_TIMED_OUT", "driver-1"),
        ("x-Stock-topic", 2, 8, None, "driver-1"),
    ]


def test_a_restarted_process_goes_on_in_the_same_recording(tmp_path: Path) -> None:
    for first_offset in (1, 2):
        observer = FileObserver(tmp_path, "pay-0")
        observer.batch([Span("t", 0, first_offset, first_offset, 1)], Times(), generation=1, transaction=None)
        observer.close()
    convert(tmp_path)
    assert pq.read_table(tmp_path / "journal" / "pay-0.parquet")["first_offset"].to_pylist() == [1, 2]


def test_a_process_that_reported_nothing_has_files_with_zero_rows(tmp_path: Path) -> None:
    FileObserver(tmp_path, "order-0").close()
    convert(tmp_path)
    assert pq.read_table(tmp_path / "journal" / "order-0.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "acks" / "order-0.parquet").num_rows == 0
    assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_events_of_all_processes_are_merged_by_monotonic_time(tmp_path: Path) -> None:
    worker, runner = FileObserver(tmp_path, "pay-0"), FileObserver(tmp_path, "runner", events_only=True)
    runner.event("phase-began", phase="warm-up")
    worker.event("rebuild-finished", partition=1, **{"from": 3, "to": 9}, records=6)
    runner.event("process-exited", process="pay-0", pid=7, exit_code=-9)
    worker.close()
    runner.close()
    convert(tmp_path)
    events = [orjson.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert [event["event"] for event in events] == ["phase-began", "rebuild-finished", "process-exited"]
    assert [event["process"] for event in events] == ["runner", "pay-0", "pay-0"]
    assert events[1]["from"] == 3
    assert all(event["wall_ms"] > 1_600_000_000_000 for event in events)
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["pay-0.parquet"]
    assert events[0]["monotonic_ns"] <= events[1]["monotonic_ns"] <= events[2]["monotonic_ns"]


def test_of_a_batch_that_is_told_of_as_it_goes_on_the_last_word_counts(tmp_path: Path) -> None:
    observer = FileObserver(tmp_path, "pay-0")
    spans = [Span("t", 0, 5, 9, 5), Span("t", 1, 2, 2, 1)]
    for times in (Times(1, 2), Times(1, 2, 3), Times(1, 2, 3, 4, 5), Times(6, 7)):
        observer.batch(spans, times, generation=1, transaction=None)
    observer.close()
    convert(tmp_path)
    rows = pq.read_table(tmp_path / "journal" / "pay-0.parquet")
    assert rows["stored_ns"].to_pylist() == [3, 3, 0, 0]
    assert rows["committed_ns"].to_pylist() == [5, 5, 0, 0]
    assert rows["first_offset"].to_pylist() == [5, 2, 5, 2]


def test_torn_ends_are_left_out_and_counted(tmp_path: Path) -> None:
    observer = FileObserver(tmp_path, "pay-0")
    for offset in range(3):
        observer.batch([Span("t", 0, offset, offset, 1)], Times(), generation=1, transaction=None)
        observer.acknowledged("t", [0], [offset], None, None)
        observer.event("tick", number=offset)
    observer.close()
    for kind in ("journal", "acks", "events"):
        (path,) = (tmp_path / "raw" / kind).iterdir()
        path.write_bytes(path.read_bytes()[:-3])
    converted = convert(tmp_path)
    assert converted.torn == 3
    assert pq.read_table(tmp_path / "journal" / "pay-0.parquet")["first_offset"].to_pylist() == [0, 1]
    assert pq.read_table(tmp_path / "acks" / "pay-0.parquet")["offset"].to_pylist() == [0, 1]
    assert [event["number"] for event in read_events(tmp_path)[0]] == [0, 1]


def test_a_killed_process_loses_nothing_that_it_reported(tmp_path: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from bench.recording.observer import FileObserver
        from system.runtime.observer import Span, Times
        observer = FileObserver(Path({str(tmp_path)!r}), "pay-0")
        for offset in range(10**9):
            observer.batch([Span("t", 0, offset, offset, 1)], Times(), generation=1, transaction=None)
            observer.acknowledged("t", [0], [offset], None, None)
            print(offset, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as child:
        assert child.stdout is not None
        reported = [int(child.stdout.readline()) for _ in range(200)]
        os.kill(child.pid, signal.SIGKILL)
    convert(tmp_path)
    offsets = pq.read_table(tmp_path / "acks" / "pay-0.parquet")["offset"].to_pylist()
    assert offsets[:200] == reported
    assert offsets == list(range(len(offsets)))
    assert len(pq.read_table(tmp_path / "journal" / "pay-0.parquet")) >= len(offsets)


def test_a_process_name_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file name"):
        FileObserver(tmp_path, "a/b")


def test_both_observers_are_observers(tmp_path: Path) -> None:
    observers: list[Observer] = [NullObserver(), FileObserver(tmp_path, "pay-0")]
    for observer in observers:
        observer.batch([], Times(), generation=0, transaction=None)
        observer.acknowledged("t", [], [], None, None)
        observer.event("process-ready")
    convert(tmp_path)
    assert len(read_events(tmp_path)[0]) == 1


@given(
    st.lists(st.tuples(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=4), st.binary(max_size=40))),
    st.data(),
)
def test_frames_survive_a_cut_at_any_byte(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[list[str | None], bytes]], data: st.DataObject
) -> None:
    blocks = [packed(names, rows) for names, rows in frames]
    whole = b"".join(blocks)
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("frames") / "cut.bin"
    path.write_bytes(whole[:cut])
    kept, torn = read_frames(path)
    assert [tuple(frame) for frame in kept] == frames[: len(kept)]
    size = sum(len(block) for block in blocks[: len(kept)])
    assert torn == (size < cut)
    assert len(kept) == len(blocks) or size + len(blocks[len(kept)]) > cut


def test_no_frames_make_a_table_without_rows() -> None:
    assert acks_table([]).num_rows == 0
    assert acks_table([Frame(["t", None, {}], b"")]).num_rows == 0
