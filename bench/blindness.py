"""How blind `check` is: cells and rows of a recording are changed, one at a time, and the share that is noticed is told
per file and column.

A change is noticed when a checker's verdict, or its number of anomalies of a kind, differs from what it is for the
recording as it stands. A checker is asked again only where it reads the changed file, as its statements show.
"""

import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from bench.check import checkers_of, write
from bench.guarantees import TOLERATES
from bench.mutations import EVENTS, RUN, Mutation, held, mutated, mutations
from verifiers.checker import Checker, judge, run_checker
from verifiers.disturbance import disturbances
from verifiers.folder import Content, content_of
from verifiers.recording import Recording, opened

FILE: Final = "blindness.json"
PROCESSES_MAX: Final = 2
MISSED_SHOWN: Final = 3
Answer = tuple[str, tuple[tuple[str, int], ...]]
"""A checker's verdict, and the number of anomalies of each kind."""

CANNOT: Final[Mapping[tuple[str, str], str]] = {
    ("operations", "_ns"): "a client's times feed the measurements; checkers only compare them with each other",
    ("operations", "phase"): "feeds the measurements",
    ("operations", "error"): "an explanation for readers",
    ("operations", "re"): "only the parts that name an amount, a balance or a tr# are claims",
    ("topics/", "timestamp_ms"): "times are only compared between cause and effect: the order must change to be seen",
    ("topics/", "headers"): "only headers that a service reads are claims",
    ("live/", "read_ns"): "when a record was seen is for readers of the report",
    ("journal/", "_ns"): "the times of a batch are only compared with each other and with assignments",
    ("journal/", "generation"): "the assignments tell who owned what",
    ("offsets", "sampled_ns"): "a sample is only ordered by it",
    ("offsets", "generation"): "offsets may go back only with a reset, in whichever generation",
    ("offsets", "committed"): "a sample between its neighbours is legal",
    ("offsets", "end"): "a sample of the end is a bound, not an equality",
    ("acks/", "error"): "a report without an error and a record that is there agree either way",
    ("offsets", "group"): "the group that a sample names is believed; its topic and partition are compared",
    ("offsets", "topic"): "a running sample of another partition is legal where it lies between that one's",
    ("offsets", "partition"): "a running sample of another partition is legal where it lies between that one's",
    ("offsets", "phase"): "only samples at quiescence are claims",
    (
        "",
        "transaction",
    ): "which transaction a record belongs to is believed; a transaction all of whose records are there is legal",
    (EVENTS, ""): "events of processes and phases are for the measurements and the page; assignments are claims",
    (RUN, ""): "what was run is believed: nothing else records it",
    ("", "(row dropped)"): "a sample or an event that is not there leaves its neighbours legal",
    ("", "(row repeated)"): "the same said twice says nothing else",
}
"""(begin of a file's name, part of a column's name) → why some of its changes cannot be noticed."""


@dataclass(slots=True)
class _Watched:
    """A connection that keeps the statements that go through it."""

    db: duckdb.DuckDBPyConnection
    statements: list[str] = field(default_factory=list)

    def execute(self, statement: str, *parameters: object) -> duckdb.DuckDBPyConnection:
        """As the connection does."""
        self.statements.append(statement)
        return cast(Callable[..., duckdb.DuckDBPyConnection], self.db.execute)(statement, *parameters)

    def register(self, name: str, table: object) -> duckdb.DuckDBPyConnection:
        """As the connection does."""
        return self.db.register(name, table)

    def unregister(self, name: str) -> duckdb.DuckDBPyConnection:
        """As the connection does."""
        return self.db.unregister(name)


@dataclass(slots=True)
class _Taken(Mapping[str, Path | pa.Table]):
    """Files that keep which of them were taken, in blocks, beside what statements name."""

    files: Mapping[str, Path | pa.Table]
    views: set[str] = field(default_factory=set)

    def __getitem__(self, view: str) -> Path | pa.Table:
        self.views.add(view)
        return self.files[view]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True, slots=True)
class Judge:
    """A recording in memory, what each checker says of it as it stands, and which files each of them reads."""

    content: Content
    checkers: tuple[Checker, ...]
    answers: Mapping[str, Answer]
    reads: Mapping[str, frozenset[str]]

    def noticed_by(self, mutation: Mutation) -> tuple[str | None, str]:
        """The first checker whose answer differs for the changed recording, or None; and the change in words."""
        content, told = mutated(self.content, mutation)
        try:
            recording = opened(content)
        except (duckdb.Error, TypeError, ValueError) as error:
            return f"not readable: {type(error).__name__}", told
        try:
            concerned = [one for one in self.checkers if mutation.view in self.reads[one.name]]
            for checker in concerned:
                if _answer(checker, recording) != self.answers[checker.name]:
                    return checker.name, told
            return None, told
        finally:
            recording.close()


def judge_of(folder: Path) -> Judge:
    """Reads a run folder and asks every checker once, each on a recording of its own. Raises `BadRecording`."""
    checkers = checkers_of(folder)
    content = held(content_of(folder))
    answers: dict[str, Answer] = {}
    reads: dict[str, frozenset[str]] = {}
    for checker in checkers:
        recording = opened(content)
        watched = _Watched(recording.db)
        taken = _Taken(content.files)
        shadow = replace(recording, db=cast(duckdb.DuckDBPyConnection, watched), files=taken)
        answers[checker.name] = _answer(checker, shadow)
        reads[checker.name] = _named(content, watched.statements) | taken.views
        recording.close()
    return Judge(content, checkers, answers, reads)


def _answer(checker: Checker, recording: Recording) -> Answer:
    guarantee = str(recording.run.get("guarantee"))
    tolerates = TOLERATES.get(guarantee, frozenset()) if disturbances(recording) else frozenset()
    finding = run_checker(checker, recording)
    judgement = judge(checker, finding, tolerates=tolerates)
    return judgement.verdict.name, tuple(sorted(finding.counts.items()))


def _named(content: Content, statements: list[str]) -> frozenset[str]:
    """The files that the statements of a checker name. Events and run.json decide what is tolerated, so all read
    them."""
    text = "\n".join(statements)
    words = set(re.findall(r"[a-z]+", text))
    named = {view for view in content.files if f'"{view}"' in text}
    joined = {view for view in content.files if view.partition("/")[0] in words & {"journal", "acks"}}
    bare = {view for view in content.files if view in words & {"operations", "offsets", "ends"}}
    return frozenset(named | joined | bare | {EVENTS, RUN})


_OWN: dict[str, Judge] = {}
"""The judge of a process of the pool."""


def _begin(folder: Path, answers: Mapping[str, Answer], reads: Mapping[str, frozenset[str]]) -> None:
    _OWN["judge"] = Judge(held(content_of(folder)), checkers_of(folder), answers, reads)


def _ask(mutation: Mutation) -> tuple[str | None, str]:
    return _OWN["judge"].noticed_by(mutation)


def blindness(folder: Path, *, each: int, seed: int, processes: int | None = None) -> dict[str, Any]:
    """Make `each` changes of every column and of the rows of every file, write `blindness.json` into the folder and
    return its content. Raises `BadRecording`."""
    judging = judge_of(folder)
    planned = list(mutations(judging.content, each=each, seed=seed))
    if (processes or PROCESSES_MAX) == 1:
        answers = [judging.noticed_by(mutation) for mutation in planned]
    else:
        # Spawned: an engine that has threads must not be forked.
        spawn = multiprocessing.get_context("spawn")
        known = (folder, dict(judging.answers), dict(judging.reads))
        workers = processes or PROCESSES_MAX
        with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin, initargs=known) as pool:
            answers = list(pool.map(_ask, planned, chunksize=8))
    content = _counted(judging, planned, answers)
    write(folder / FILE, {"run": folder.name, "seed": seed, "each": each, **content})
    return content


def _counted(judging: Judge, planned: list[Mutation], answers: list[tuple[str | None, str]]) -> dict[str, Any]:
    prefix = str(judging.content.run.get("prefix", ""))
    files: dict[str, dict[str, dict[str, Any]]] = {}
    for mutation, (checker, told) in zip(planned, answers, strict=True):
        empty: dict[str, Any] = {"mutations": 0, "noticed": 0, "by": Counter(), "missed": []}
        column = files.setdefault(mutation.view, {}).setdefault(mutation.column, empty)
        column["mutations"] += 1
        column["noticed"] += checker is not None
        if checker is not None:
            column["by"][checker] += 1
        elif len(column["missed"]) < MISSED_SHOWN:
            column["missed"].append(told.replace(prefix, "") if prefix else told)
    for view, columns in files.items():
        for name, column in columns.items():
            column["share"] = round(column["noticed"] / column["mutations"], 4)
            column["reason"] = _reason(view, name) if column["noticed"] < column["mutations"] else None
    noticed = sum(checker is not None for checker, _ in answers)
    return {
        "mutations": len(planned),
        "noticed": noticed,
        "share": round(noticed / max(len(planned), 1), 4),
        "files": files,
    }


def _reason(view: str, column: str) -> str:
    found = (why for (begin, part), why in CANNOT.items() if view.startswith(begin) and part in column)
    return next(found, "see the examples of what was missed")


def print_blindness(console: Console, content: Mapping[str, Any]) -> None:
    """A row a file and column: how much was noticed, by whom, and why the rest cannot be."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("file", "column", "noticed", "first noticed by", "what is missed"):
        table.add_column(name)
    for view, columns in sorted(content["files"].items()):
        for name, column in columns.items():
            by = ", ".join(checker for checker, _ in Counter(column["by"]).most_common(2))
            noticed = f"{column['noticed']}/{column['mutations']}"
            table.add_row(view, name, noticed, by, column["reason"] or "")
    console.print(table)
    console.print(f"{content['noticed']} of {content['mutations']} changes noticed ({content['share']:.1%})")
