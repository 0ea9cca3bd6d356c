"""Every corruption of a recording is noticed by the checker that exists for it, which names the entity, and by none
that has nothing to say about it."""

from pathlib import Path

import pytest

from bench.check import check, examine, exit_code
from bench.corrupt import Corruption, Unfit, corrupted, corruptions
from bench.guarantees import TOLERATES
from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import write
from verifiers.checker import Verdict

CORRUPTIONS = corruptions("checkout")
POISON = (("Pay-topic", b"\xff"), ("Stock-topic", b'{"order": 1}'))


@pytest.fixture(scope="module")
def legal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(legal_history(60, seed=7), tmp_path_factory.mktemp("legal") / "run", poison=POISON)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_a_corruption_is_caught_by_its_checker_and_its_entity_is_named(
    legal: Path, tmp_path: Path, corruption: Corruption
) -> None:
    entity = corrupted(corruption, legal, tmp_path / "copy")
    judged = examine(tmp_path / "copy")
    found = {j.checker.name: j.finding for j in judged.judgements if j.finding.counts}
    assert corruption.kind in found[corruption.checker].counts
    named = {a.entity: a for a in found[corruption.checker].anomalies if a.kind == corruption.kind}
    assert entity in named
    # What is in no file any more has no events, and a row of a table says it all in its sentence.
    assert named[entity].evidence or corruption.name in ("operation-lost", "replay-changed")
    assert found.keys() <= {corruption.checker, *corruption.also}
    assert judged.verdict is Verdict.INVALID


def test_an_undamaged_copy_is_valid_and_the_original_stays_as_it_was(legal: Path, tmp_path: Path) -> None:
    nothing = Corruption("nothing", "nothing is damaged", "none", "none", lambda copy: "")
    corrupted(nothing, legal, tmp_path / "copy")
    assert exit_code(check(tmp_path / "copy")) == 0
    assert examine(legal).verdict is Verdict.VALID


def test_what_a_run_does_not_have_cannot_be_damaged(tmp_path: Path) -> None:
    run = write(legal_history(1), tmp_path / "run")
    undoing = next(one for one in CORRUPTIONS if one.name == "undoing-lost")
    with pytest.raises(Unfit, match="no row of topics/Pay-topic where"):
        corrupted(undoing, run, tmp_path / "copy")


def test_names_are_unique_and_every_tolerated_kind_but_the_explained_is_among_them() -> None:
    names = [corruption.name for corruption in CORRUPTIONS]
    assert len(set(names)) == len(names)
    tolerated = {kind for kinds in TOLERATES.values() for kind in kinds}
    assert tolerated - {corruption.kind for corruption in CORRUPTIONS} == {"explained-difference"}
