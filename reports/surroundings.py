"""What a run stood in: its knobs, its environment, its raw files; secrets and addresses taken out of what is shown."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.rounding import size

FOLDERS = ("topics", "topics-live", "journal", "acks", "tables", "initial", "logs")


@dataclass(frozen=True)
class RawFile:
    """A file of the run folder: the relative link, what it holds and its size."""

    link: str
    size: str


def knobs(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value with its unit, sorted by name."""
    rows = []
    for name, knob in sorted((run.get("knobs") or {}).items()):
        value, unit = (knob.get("value"), knob.get("unit")) if isinstance(knob, dict) else (knob, None)
        rows.append((str(name), f"{_plain(value)} {unit or ''}".strip()))
    return rows


def environment(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The environment flattened to dotted names, the commit first."""
    commit = str(run.get("commit") or "no checkout")[:12]
    first = ("commit", f"{commit}, with changes" if run.get("dirty") else commit)
    return [first, *_flat(run.get("environment") or {})]


def _flat(values: Mapping[str, Any], *, above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, above=f"{above}{name}.")
        else:
            yield f"{above}{name}", _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}".removesuffix(".0") if abs(value) >= 10_000 else str(value).removesuffix(".0")
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "none" if value is None else str(value)


def raw_files(run_folder: Path) -> list[tuple[str, list[RawFile]]]:
    """The files beside the page by folder, the top level first; links are relative, so that the folder can be moved."""
    found = [("run folder", _files(run_folder, run_folder))]
    found += [(name, _files(run_folder / name, run_folder)) for name in FOLDERS]
    return [(name, files) for name, files in found if files]


def _files(folder: Path, run_folder: Path) -> list[RawFile]:
    if not folder.is_dir():
        return []
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != "report.html"]
    return [
        RawFile(link=path.relative_to(run_folder).as_posix(), size=" ".join(size(path.stat().st_size)))
        for path in paths
    ]


def when(run_id: str) -> str:
    """The UTC time that a run folder's name begins with, `2026-11-21 10:15:00`; nothing where it begins otherwise."""
    digits = "".join(sign for sign in run_id[:24] if sign.isdigit())[:14]
    if len(digits) < 14 or not run_id[0].isdigit():
        return ""
    day, clock = digits[:8], digits[8:]
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}"


def without_addresses(page: str) -> str:
    """The page with the scheme of every web address cut and passwords of connection strings masked.

    Recorded text (a broker's message, a command line) may hold either; a page that is passed on should hold neither.
    """
    masked = re.sub(r"(?i)(password=)[^\s&<\"']+", r"\1***", page)
    masked = re.sub(r"(\w+://[^\s:/@<]+):[^\s@<]+@", r"\1:***@", masked)
    return re.sub(r"(?i)\b(?:https?|ftp)://", "", masked).replace("//cdn", "cdn")
