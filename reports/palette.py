"""One colour a process, the same in every drawing and table of a page."""

from typing import Final

OF_SERVICE: Final = {
    "pay": "c1",
    "stock": "c2",
    "order": "c3",
    "driver": "c4",
    "broker": "c5",
    "postgres": "c6",
    "live-reader": "c7",
}
OTHER: Final = "c8"


def role(process: str) -> str:
    """The colour role of a process or service: `c1` for `pay` and `pay-0`."""
    name, _, slot = process.rpartition("-")
    return OF_SERVICE.get(name if slot.isdigit() and name else process, OTHER)
