"""A run folder that is no whole recording is refused with one line that names the file."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from bench.scenarios.checkout.invariants import REQUIRED
from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import write
from verifiers.folder import BadRecording
from verifiers.recording import open_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(legal_history(5), tmp_path / "run")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def newer(path: Path) -> None:
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"schema_version": 2}))


def unversioned(path: Path) -> None:
    path.write_bytes(b'{"scenario": "checkout"}')


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("run.json", Path.unlink, "no run folder"),
        ("run.json", cut, "not JSON"),
        ("run.json", newer, "newer than 1"),
        ("run.json", unversioned, "no schema_version"),
        ("operations.parquet", cut, "truncated"),
        ("operations.parquet", empty, "empty"),
        ("operations.parquet", Path.unlink, "missing"),
        ("topics/r1a2b3c-Pay-topic.parquet", cut, "truncated"),
        ("topics/r1a2b3c-Pay-topic.parquet", Path.unlink, "missing"),
        ("tables/pay.users.parquet", Path.unlink, "missing"),
        ("journal/pay-0.parquet", empty, "empty"),
        ("events.jsonl", cut, "not JSON"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    folder: Path, name: str, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(folder / name)
    with pytest.raises(BadRecording, match=says) as refused:
        open_recording(folder, required=REQUIRED)
    assert "\n" not in str(refused.value)
    assert name.rpartition("/")[2].removeprefix("r1a2b3c-").removesuffix(".parquet") in str(refused.value)


def test_an_incomplete_run_may_lack_files(folder: Path) -> None:
    (folder / "tables/pay.users.parquet").unlink()
    run = orjson.loads((folder / "run.json").read_bytes())
    (folder / "run.json").write_bytes(orjson.dumps(run | {"incomplete": "the broker died"}))
    recording = open_recording(folder, required=REQUIRED)
    assert recording.incomplete == "the broker died"
    assert not recording.has("tables/pay.users")
    recording.close()


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="no run folder"):
        open_recording(tmp_path)
