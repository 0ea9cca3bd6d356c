"""Kafka's jars are the locked ones or none: what is missing or changed is fetched, what is wrong is refused."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from jgo.maven import Artifact, MavenContext

from bench.cluster import jars
from bench.cluster.errors import ServerUnavailable
from bench.cluster.jars import LOCK_FILE, Jar, kafka_jars, kafka_version, locked, missing


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Jar]:
    """Two small jars of the lock, and a repository that is a folder."""
    wanted = [jar for jar in locked() if jar.artifact in ("kafka_2.13", "slf4j-api")]
    monkeypatch.setattr(jars, "_maven", lambda part: _from_folder(tmp_path / "repository", part))
    for jar in wanted:
        (tmp_path / "repository").mkdir(exist_ok=True)
        (tmp_path / "repository" / jar.file_name).write_bytes(jar.artifact.encode())
    return [dataclasses.replace(jar, sha256=_sha256(tmp_path / "repository" / jar.file_name)) for jar in wanted]


def _sha256(path: Path) -> str:
    return jars._sha256(path)


class _Folder:
    """Answers jgo's question for an artifact from a folder."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def download(self, artifact: Artifact) -> Path:
        source = self.repository / artifact.filename
        if not source.exists():
            raise RuntimeError(f"{artifact.filename} not found")
        assert artifact.cached_path is not None
        artifact.cached_path.parent.mkdir(parents=True)
        shutil.copy(source, artifact.cached_path)
        return artifact.cached_path


def _from_folder(repository: Path, part: Path) -> MavenContext:
    return MavenContext(resolver=_Folder(repository), repo_cache=part, local_repos=[])  # type: ignore[arg-type]


def test_the_lock_names_a_broker_and_no_address() -> None:
    text = LOCK_FILE.read_text()
    assert kafka_version(locked()) == "4.3.1"
    assert all(len(jar.sha256) == 64 for jar in locked())
    assert "://" not in text
    assert "/root" not in text
    assert "/home" not in text
    assert len({jar.file_name for jar in locked()}) == len(locked())


def test_all_kafka_jars_have_one_version() -> None:
    versions = {jar.version for jar in locked() if jar.group == "org.apache.kafka"}
    assert versions == {"4.3.1"}


def test_what_is_missing_is_fetched_and_then_no_more(small: list[Jar], tmp_path: Path) -> None:
    paths = kafka_jars(tmp_path / "cache", small)
    assert [path.read_text() for path in paths] == [jar.artifact for jar in small]
    shutil.rmtree(tmp_path / "repository")
    assert kafka_jars(tmp_path / "cache", small) == paths
    assert not list(paths[0].parent.glob("part-*"))


def test_a_file_that_was_cut_short_is_fetched_again(small: list[Jar], tmp_path: Path) -> None:
    path = kafka_jars(tmp_path / "cache", small)[0]
    path.write_bytes(b"kaf")
    assert missing(path.parent, small) == [small[0]]
    assert kafka_jars(tmp_path / "cache", small)[0].read_text() == small[0].artifact


def test_another_checksum_is_refused_and_not_kept(small: list[Jar], tmp_path: Path) -> None:
    other = [dataclasses.replace(small[0], sha256="0" * 64)]
    with pytest.raises(ServerUnavailable, match=r"the lock says 0{64}; it is refused"):
        kafka_jars(tmp_path / "cache", other)
    assert not (tmp_path / "cache" / "kafka-4.3.1" / small[0].file_name).exists()


def test_without_a_repository_one_line_says_so(small: list[Jar], tmp_path: Path) -> None:
    (tmp_path / "repository" / small[1].file_name).unlink()
    with pytest.raises(ServerUnavailable, match="Apache Kafka cannot be fetched: 1 of its files") as refused:
        kafka_jars(tmp_path / "cache", small)
    assert "\n" not in str(refused.value)


def test_what_an_interrupted_fetch_left_is_removed(small: list[Jar], tmp_path: Path) -> None:
    left = tmp_path / "cache" / "kafka-4.3.1" / "part-left"
    left.mkdir(parents=True)
    kafka_jars(tmp_path / "cache", small)
    assert not left.exists()


def test_a_broken_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "lock.toml").write_text("[metadata]\n")
    with pytest.raises(ServerUnavailable, match="is not a lock of jars"):
        locked(tmp_path / "lock.toml")
