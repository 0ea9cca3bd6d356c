import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from bench.recording.environment import checkout, environment, kafka_version_of


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_environment_has_versions_machine_and_durability(dsn: str) -> None:
    found = environment(dsn=dsn, kafka_version="4.3.1")
    assert orjson.loads(orjson.dumps(found)) == found
    assert found["kafka"] == "4.3.1"
    assert found["postgresql"].split(".")[0].isdigit()
    assert found["postgresql_settings"]["fsync"] in ("on", "off")
    assert all(found[name] for name in ("python", "librdkafka", "confluent_kafka", "numpy", "kernel", "cores"))
    assert found["memory_bytes"] > 2**28


def test_a_checkout_says_its_commit_and_whether_it_differs(tmp_path: Path) -> None:
    assert checkout(tmp_path) == (None, None)
    git(tmp_path, "init")
    assert checkout(tmp_path).commit is None
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    clean = checkout(tmp_path)
    assert clean.commit is not None
    assert len(clean.commit) == 40
    assert clean.dirty is False
    (tmp_path / "file").write_text("2")
    assert checkout(tmp_path) == (clean.commit, True)


def test_a_folder_inside_another_checkout_is_not_taken_for_one(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "inner").mkdir()
    assert checkout(tmp_path / "inner") == (None, None)


def test_a_broker_of_ours_tells_its_version(server_pids: Mapping[str, int]) -> None:
    brokers = [pid for name, pid in server_pids.items() if name.startswith("broker")]
    if not brokers:
        pytest.skip("the brokers of this session were not started by us")
    version = kafka_version_of(brokers[0])
    assert version is not None
    assert version.split(".")[0].isdigit()


def test_a_process_that_is_no_broker_has_no_kafka_version() -> None:
    assert kafka_version_of(os.getpid()) is None
