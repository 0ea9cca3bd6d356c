"""An L is published behind what it speaks of, never in the place of a successor's, and never left unsaid."""

import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from system.runtime.absence import DOUBT_S, Absence
from system.runtime.guarantees import Ended
from system.runtime.publishing import Publishing

SESSION_S = 6.0


@dataclass
class Mark:
    """A low watermark that has moved until it is published."""

    has_moved: bool = True
    published: int = 0
    visible: list[bool] = field(default_factory=list)

    def has_news(self) -> bool:
        return self.has_moved

    def publish(self, _producer: object) -> None:
        self.published += 1
        self.has_moved = False

    publish_if_due = publish

    def settled(self, *, visible: bool) -> None:
        self.visible.append(visible)


@dataclass
class Sender:
    """What sends: without transactions, or with ones that end as they are told to."""

    transactions: "Sender | None" = None
    producer: object = None
    commits: Ended = Ended.DONE
    steps: list[str] = field(default_factory=list)

    def begin(self) -> Ended:
        self.steps.append("begin")
        return Ended.DONE

    def acknowledged(self) -> Ended:
        return Ended.DONE

    def commit(self) -> Ended:
        self.steps.append("commit")
        return self.commits

    def abort(self) -> Ended:
        self.steps.append("abort")
        return Ended.DONE


@dataclass
class Outbox:
    """What a relay says of itself."""

    is_level: bool


@dataclass
class Clock:
    """Set by hand."""

    now_s: float = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("system.runtime.publishing.time.monotonic", lambda: clock.now_s)
    return clock


def publishing(mark: Mark | None, sender: Sender | None = None, relay: Outbox | None = None) -> Publishing:
    outbound, watermark = cast(Any, sender or Sender()), cast(Any, mark)
    absence = Absence(SESSION_S, time.monotonic())
    return Publishing(watermark, outbound, relay=cast(Any, relay), absence=absence)


def test_an_idle_worker_leaves_nothing_unsaid(clock: Clock) -> None:
    mark = Mark()
    mine = publishing(mark)
    assert [mine.when_idle(), mine.when_idle()] == [Ended.EMPTY, Ended.EMPTY]
    assert mark.published == 1


def test_after_an_absence_nothing_is_said_for_a_while_and_then_it_is(clock: Clock) -> None:
    mark = Mark()
    mine = publishing(mark)
    clock.now_s += SESSION_S
    mine.if_due()
    mine.when_idle()
    assert (mark.published, mine.is_held_back) == (0, True)
    clock.now_s += DOUBT_S
    assert not mine.is_held_back
    mine.when_idle()
    assert mark.published == 1


def test_no_reply_that_waits_in_the_outbox_is_overtaken(clock: Clock) -> None:
    mark, outbox = Mark(), Outbox(is_level=False)
    mine = publishing(mark, relay=outbox)
    mine.if_due()
    mine.when_idle()
    assert mark.published == 0
    outbox.is_level = True
    mine.if_due()
    assert mark.published == 1


@pytest.mark.parametrize(
    ("commits", "steps", "ended"),
    [
        (Ended.DONE, ["begin", "commit"], Ended.EMPTY),
        (Ended.ABORTABLE, ["begin", "commit", "abort"], Ended.EMPTY),
        (Ended.FAILED, ["begin", "commit"], Ended.FAILED),
    ],
)
def test_in_a_transaction_it_is_said_when_it_is_visible(
    clock: Clock, commits: Ended, steps: list[str], ended: Ended
) -> None:
    mark, transactions = Mark(), Sender(commits=commits)
    mine = publishing(mark, Sender(transactions))
    assert (mine.when_idle(), transactions.steps) == (ended, steps)
    assert mark.visible == [commits is Ended.DONE]


def test_who_joins_nothing_has_nothing_to_say(clock: Clock) -> None:
    mine = publishing(None)
    clock.now_s += SESSION_S
    mine.if_due()
    assert (mine.when_idle(), mine.is_held_back) == (Ended.EMPTY, False)
