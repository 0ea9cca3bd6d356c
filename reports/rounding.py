"""Numbers as a reader wants them: three significant digits, thousands separated, the unit that keeps them short."""

from typing import Final

ABSENT: Final = "—"
BYTES: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def short(value: float | None) -> str:
    """Three significant digits: `0.234`, `2.34`, `23.4`, `2,340`; a dash where there is no figure."""
    if value is None:
        return ABSENT
    size = abs(value)
    if size >= 1000:
        return f"{round(value, -max(0, len(str(int(size))) - 4)):,.0f}"
    if size >= 100 or (value == int(value) and size < 1000):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def whole(value: float | None) -> str:
    """A count: `1,000,000`."""
    return ABSENT if value is None else f"{round(value):,}"


def duration(milliseconds: float | None) -> tuple[str, str]:
    """Number and unit of a time given in ms: `("340", "µs")`, `("23.4", "ms")`, `("2.24", "s")`."""
    if milliseconds is None:
        return ABSENT, ""
    if abs(milliseconds) >= 1000:
        return short(milliseconds / 1000), "s"
    if 0 < abs(milliseconds) < 1:
        return short(milliseconds * 1000), "µs"
    return short(milliseconds), "ms"


def time_text(milliseconds: float | None) -> str:
    """A time in one word with its unit: `23.4 ms`."""
    return " ".join(duration(milliseconds)).strip()


def size(count: float | None) -> tuple[str, str]:
    """Number and unit of a number of bytes: `("1.20", "MiB")`."""
    if count is None:
        return ABSENT, ""
    for unit, scale in BYTES:
        if abs(count) >= scale:
            return short(count / scale), unit
    return short(count), "B"


def percent(share: float | None) -> str:
    """A share as per cent: `12.3 %`."""
    return ABSENT if share is None else f"{short(share * 100)} %"
