"""The nemesis strikes when it is due, heals in time, tells what it hit, and heals everything on every way out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from bench.nemesis import nemesis as module
from bench.nemesis.kinds import BROKERS, SERVICES
from bench.nemesis.nemesis import Nemesis
from bench.nemesis.plan import Fault, parse_plan
from bench.nemesis.site import DoNothing, Hands, Missed, Site, Wound
from bench.process import FAULTY
from bench.recording.observer import FileObserver


@dataclass
class Folder:
    """The part of a run's spec that the nemesis asks for."""

    path: Path


@dataclass
class Quiet:
    """The part of a supervisor that it touches."""

    forgiving: bool = False


@dataclass
class Stage:
    """A site without servers, a clock that is set by hand, and hands that count."""

    folder: Path
    clock: pytest.MonkeyPatch
    now_ns: int = 10**9
    supervisor: Quiet = field(default_factory=Quiet)
    lag: dict[str, int] = field(default_factory=dict)
    healed: list[str] = field(default_factory=list)
    is_whole: bool = True
    bite: Mapping[str, Any] | None = field(default_factory=dict)

    def strike(self, fault: Fault, _site: Site) -> Wound | Missed:
        return Wound(
            {"processes": ["pay-0"]},
            heal=lambda: self.healed.append(str(fault)),
            healed=lambda: self.is_whole,
            bites=lambda: self.bite,
        )

    def nemesis(self, plan: str, hand: object = None) -> Nemesis:
        (self.folder / "raw").mkdir()
        spec, observer = cast(Any, Folder(self.folder)), FileObserver(self.folder, "runner", events_only=True)
        site = Site(spec, cast(Any, self.supervisor), cast(Any, None), observer, cast(Any, None), lambda: self.lag)
        self.clock.setattr("bench.nemesis.nemesis.time.monotonic_ns", lambda: self.now_ns)
        kinds = {"kill": hand or self.strike, "pause": hand or self.strike}
        hands = cast(Hands, {SERVICES: kinds, BROKERS: kinds})
        return Nemesis(parse_plan(plan).faults, hands, site)

    def at(self, nemesis: Nemesis, seconds: float) -> list[str]:
        """Looks at this moment of the measured phase; the events so far."""
        self.now_ns = 10**9 + int(seconds * 1e9)
        nemesis.tend(10**9)
        return [str(event["event"]) for event in self.events()]

    def events(self) -> list[dict[str, Any]]:
        (path,) = (self.folder / "raw" / "events").glob("runner~*")
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_a_fault_strikes_heals_and_recovers_at_its_times(stage: Stage) -> None:
    nemesis = stage.nemesis("pause:pay@2s~3s")
    assert stage.at(nemesis, 1.9) == []
    stage.lag = {"pay": 10}
    assert stage.at(nemesis, 2) == ["fault-struck"]
    assert stage.supervisor.forgiving
    assert (stage.folder / FAULTY).exists()
    stage.lag, stage.is_whole = {"pay": 50_000}, False
    assert stage.at(nemesis, 4.9) == ["fault-struck"]
    assert not stage.healed
    assert stage.at(nemesis, 5.1) == ["fault-struck"]
    assert stage.healed == ["pause:pay@2s~3s"]
    stage.is_whole = True
    assert stage.at(nemesis, 6) == ["fault-struck", "fault-healed"]
    assert not (stage.folder / FAULTY).exists()
    assert not nemesis.is_at_peace
    stage.lag = {"pay": 20}
    assert stage.at(nemesis, 7) == ["fault-struck", "fault-healed", "fault-recovered"]
    assert nemesis.is_at_peace
    assert stage.events()[0]["hit"] == {"processes": ["pay-0"]}
    assert {event["fault"] for event in stage.events()} == {"pause:pay@2s~3s"}


def test_what_it_looks_for_may_come_back_and_is_missed_when_it_does_not(stage: Stage) -> None:
    nothing = DoNothing()
    nemesis = stage.nemesis("kill:pay@1s", nothing)
    assert stage.at(nemesis, 1) == []
    assert stage.at(nemesis, 1 + module.MISS_GRACE_S) == ["fault-missed"]
    assert nothing.struck == ["kill:pay@1s"] * 2
    assert stage.events()[0]["reason"] == nothing.reason
    assert nemesis.is_at_peace


def test_a_broker_that_should_be_back_is_waited_for_before_the_next_one_is_struck(stage: Stage) -> None:
    stage.is_whole = False
    nemesis = stage.nemesis("kill:broker-1@1s~2s+kill:broker-2@2s~9s+kill:broker-3@4s~1s+kill:pay@5s")
    stage.at(nemesis, 1)
    assert stage.at(nemesis, 2) == ["fault-struck"] * 2
    stage.at(nemesis, 3.1)
    stage.at(nemesis, 4)
    stage.at(nemesis, 5)
    late_s = 20 + 2 * module.MISS_GRACE_S
    stage.at(nemesis, late_s)
    stage.is_whole = True
    stage.at(nemesis, late_s + 1)
    stage.at(nemesis, late_s + 2)
    struck = [event["fault"] for event in stage.events() if event["event"] == "fault-struck"]
    assert struck == ["kill:broker-1@1s~2s", "kill:broker-2@2s~9s", "kill:pay@5s", "kill:broker-3@4s~1s"]


def test_what_hit_nothing_while_it_lasted_has_not_struck(stage: Stage) -> None:
    stage.bite = None
    nemesis = stage.nemesis("pause:pay@1s~2s")
    stage.at(nemesis, 1)
    stage.at(nemesis, 4)
    assert stage.at(nemesis, 5) == ["fault-missed"]
    assert stage.healed


def test_what_never_heals_is_told_and_not_waited_for(stage: Stage) -> None:
    stage.is_whole = False
    nemesis = stage.nemesis("pause:pay@1s~1s")
    stage.at(nemesis, 1)
    stage.at(nemesis, 2)
    assert stage.at(nemesis, 2 + 2 * module.HEAL_DEADLINE_S) == ["fault-struck", "fault-lingers"]
    assert nemesis.is_at_peace


def test_on_the_way_out_everything_is_healed_once(stage: Stage) -> None:
    nemesis = stage.nemesis("pause:pay@1s~60s+kill:pay@50s")
    stage.at(nemesis, 1)
    nemesis.heal_all()
    nemesis.heal_all()
    assert stage.healed == ["pause:pay@1s~60s"]
    assert not (stage.folder / FAULTY).exists()
    assert [event["event"] for event in stage.events()] == ["fault-struck", "fault-healed"]


def test_what_was_due_after_the_end_of_the_load_is_missed(stage: Stage) -> None:
    nemesis = stage.nemesis("kill:pay@9s")
    stage.at(nemesis, 1)
    nemesis.load_ended()
    assert stage.at(nemesis, 9) == ["fault-missed"]
