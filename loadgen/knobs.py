"""Knobs of a workload: name, default, unit, legal range and a sentence each, declared as fields of a frozen dataclass.

The command line's `--set NAME=VALUE` is parsed with them and `list` shows them, so a knob is one line of its dataclass.
"""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, NamedTuple


class Knob(NamedTuple):
    """What a knob is; `least` and `most` are legal themselves."""

    name: str
    default: int | float
    unit: str
    least: int | float
    most: int | float
    doc: str


def knob(default: int | float, unit: str, least: int | float, most: int | float, doc: str) -> Any:  # noqa: ANN401
    """The field of a knob; typed as loosely as `dataclasses.field` is, and for the same reason."""
    return field(default=default, metadata={"unit": unit, "least": least, "most": most, "doc": doc})


def declared(knobs: Any) -> dict[str, Knob]:  # noqa: ANN401 - any dataclass of knobs
    """Name → knob of a dataclass whose fields were made by `knob`."""
    defaults: dict[str, Any] = {found.name: found.default for found in fields(knobs)}
    return {found.name: Knob(found.name, defaults[found.name], **found.metadata) for found in fields(knobs)}


def parse(legal: Mapping[str, Knob], settings: Mapping[str, str]) -> dict[str, int | float]:
    """`{"poison": "3"}` → `{"poison": 3}`. Raises `ValueError`: one line, what is wrong and what is legal."""
    unknown = [name for name in settings if name not in legal]
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}; legal: {', '.join(legal)}")
    return {name: _value(legal[name], text) for name, text in settings.items()}


def _value(knob: Knob, text: str) -> int | float:
    kind = type(knob.default)
    numbers = "a whole number" if kind is int else "a number"
    legal = f"{numbers} from {knob.least:g} to {knob.most:.12g} ({knob.unit})"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"setting {knob.name}={text!r} is not legal; legal: {legal}") from None
    if not knob.least <= value <= knob.most:
        raise ValueError(f"setting {knob.name}={text} is not legal; legal: {legal}")
    return value
