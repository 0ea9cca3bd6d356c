"""Who was away for long holds its tongue for a while; who was busy does not."""

from hypothesis import given
from hypothesis import strategies as st

from system.runtime.absence import AWAY_SHARE, DOUBT_S, Absence

SESSION_S = 6.0


def test_a_long_absence_is_followed_by_a_while_of_doubt() -> None:
    absence = Absence(SESSION_S, seen_s=100.0)
    assert absence.is_doubtless(102.0)
    assert not absence.is_doubtless(106.0)
    assert not absence.is_doubtless(106.0 + DOUBT_S / 2)
    assert absence.is_doubtless(106.0 + DOUBT_S)


def test_a_second_absence_begins_the_doubt_anew() -> None:
    absence = Absence(SESSION_S, seen_s=0.0)
    assert not absence.is_doubtless(7.0)
    assert not absence.is_doubtless(14.0)
    assert not absence.is_doubtless(14.0 + DOUBT_S * 0.9)


@given(st.lists(st.floats(0, AWAY_SHARE * SESSION_S * 0.999), max_size=50))
def test_who_is_seen_often_enough_is_never_in_doubt(gaps_s: list[float]) -> None:
    absence, now_s = Absence(SESSION_S, seen_s=0.0), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        assert absence.is_doubtless(now_s)
