"""What a virtual machine learned once is used from then on, and a start without it is only slower."""

import subprocess
from pathlib import Path

import pytest

from bench.cluster import programs
from bench.cluster.cache import cache_folder
from bench.cluster.jars import kafka_jars
from bench.cluster.java import Java, find_java
from bench.cluster.kafka import Programs
from bench.cluster.programs import kafka_programs


@pytest.fixture
def learned() -> Path:
    """What the user's own cache folder holds; asked for before `own_cache` stands in for it."""
    return Path(kafka_programs().flags[0].partition("=")[2])


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own with the fetched jars, in which nothing was learned yet."""
    jars = kafka_jars(cache_folder())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder() / jars[0].parent.name
    folder.mkdir()
    for jar in jars:
        (folder / jar.name).symlink_to(jar)
    return folder


def runs(found: Programs, *, mode: str = "on") -> subprocess.CompletedProcess[str]:
    """One of Kafka's tools; with "on" by a Java that refuses to run without what was learned."""
    argv = found.argv(f"-XX:AOTMode={mode}")
    return subprocess.run(
        [*argv, "kafka.tools.StorageTool", "random-uuid"], capture_output=True, text=True, check=False
    )


def test_what_is_learned_at_the_first_start_serves_the_next(own_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = kafka_programs()
    assert "learning to start quickly" in capfd.readouterr().err
    assert kafka_programs() == first
    assert capfd.readouterr().err == ""
    assert {path.suffix or path.name for path in own_cache.iterdir()} == {".jar", ".aot", "lock"}
    assert runs(first).returncode == 0
    other = Programs(first.java, first.class_path[1:], first.flags)
    assert runs(other).returncode != 0


def test_what_was_learned_and_is_damaged_is_not_used(learned: Path, own_cache: Path) -> None:
    for damaged in (b"", b"no cache", learned.read_bytes()[:1_000_000]):
        (own_cache / learned.name).write_bytes(damaged)
        found = kafka_programs()
        assert runs(found).returncode != 0
        assert runs(found, mode="auto").returncode == 0


def test_a_cache_folder_that_nobody_may_write_to_only_costs_time(
    own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (own_cache / "lock").mkdir()  # Root may write to any folder; a lock that cannot be opened stands for all others.
    assert kafka_programs().flags == ()
    assert capfd.readouterr().err.startswith("brokers will start slowly: [Errno")


def test_a_java_that_cannot_learn_starts_without_it(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = own_cache / "java"
    broken.write_text("#!/bin/sh\necho this one refuses\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(programs, "find_java", lambda: Java(broken, "25.0.1"))
    assert kafka_programs().flags == ()
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith("brokers will start slowly: format of broker-1 ended with exit code 1: this one refuses")
    assert not list(own_cache.glob("*.aot")) + list(own_cache.glob("*.part"))


def test_an_older_java_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_java", lambda: Java(find_java().program, "24.0.2"))
    assert kafka_programs().flags == ()
