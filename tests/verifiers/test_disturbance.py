"""What makes a run disturbed, and what belongs to its beginning and its end."""

from pathlib import Path

import pytest

from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import add_event, write
from verifiers.disturbance import died, disturbances
from verifiers.recording import open_recording

BEFORE, DURING, AFTER = 860_000_000, 1_000_500_000, 10**15


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(legal_history(20), tmp_path / "run")


def disturbances_of(folder: Path) -> list[str]:
    recording = open_recording(folder)
    found = disturbances(recording)
    recording.close()
    return found


def test_a_run_in_which_nothing_happened_is_quiet(folder: Path) -> None:
    assert disturbances_of(folder) == []


@pytest.mark.parametrize(
    ("event", "at_ns", "disturbs"),
    [
        ({"event": "failpoint-reached", "failpoint": "pay@after-state"}, DURING, True),
        ({"event": "process-exited", "exit_code": -9}, DURING, True),
        ({"event": "process-exited", "exit_code": 0}, DURING, False),
        ({"event": "process-exited", "exit_code": -9}, AFTER, False),
        ({"event": "partitions-revoked", "partitions": [1]}, DURING, True),
        ({"event": "partitions-lost", "partitions": [1]}, DURING, True),
        ({"event": "partitions-revoked", "partitions": []}, DURING, False),
        ({"event": "partitions-revoked", "partitions": [1]}, BEFORE, False),
        ({"event": "partitions-revoked", "partitions": [1]}, AFTER, False),
    ],
)
def test_only_what_happens_under_load_disturbs(
    folder: Path, event: dict[str, object], at_ns: int, disturbs: bool
) -> None:
    add_event(folder, **event, monotonic_ns=at_ns)
    assert bool(disturbances_of(folder)) == disturbs


def test_a_process_that_was_started_twice_died(folder: Path) -> None:
    add_event(folder, event="process-started", monotonic_ns=DURING)
    recording = open_recording(folder)
    assert died(recording) == {"pay-0"}
    recording.close()
