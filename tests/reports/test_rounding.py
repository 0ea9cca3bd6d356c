"""Numbers are short, honest about absence, and carry the unit that suits them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.rounding import duration, percent, short, size, whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.2344, "0.234"),
        (2.344, "2.34"),
        (23.44, "23.4"),
        (234.4, "234"),
        (999.6, "1,000"),
        (20_431.2, "20,430"),
        (1_050_000, "1,050,000"),
        (None, "—"),
    ],
)
def test_three_or_four_digits_are_enough(value: float | None, text: str) -> None:
    assert short(value) == text


@given(st.floats(1e-3, 1e9))
def test_rounding_moves_a_figure_by_less_than_a_hundredth(value: float) -> None:
    assert float(short(value).replace(",", "")) == pytest.approx(value, rel=0.01)


def test_units_follow_the_size() -> None:
    assert duration(0.34) == ("340", "µs")
    assert duration(2240.0) == ("2.24", "s")
    assert size(1_572_864) == ("1.50", "MiB")
    assert percent(0.123) == "12.3 %"
    assert whole(1_234_567) == "1,234,567"
    assert duration(None) == ("—", "")
