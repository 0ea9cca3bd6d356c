"""State behind the log: the tables put back to an earlier moment, as by an operator who restores a backup, while the
offsets and the topics stay.

What was stored between the two moments is lost, whatever the guarantee; no guarantee claims otherwise, so the checkers
find it and the run is INVALID wherever they do. Rows that are lost are told in `fault-struck`.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from bench.nemesis.plan import Fault
from bench.nemesis.site import Missed, Site, Wound
from bench.recording.errors import RecordingFailed
from bench.recording.observer import FileObserver
from bench.recording.tables import Table, tables_of

ATTEMPTS: Final = 10
"""The locks of all tables at once may deadlock with a worker's; the server then refuses one of the two."""


def rewind(_fault: Fault, site: Site) -> Wound | Missed:
    """Keeps the tables as they are now; when it heals, they are put back to that."""
    try:
        tables = tables_of(site.spec.dsn, site.spec.prefix)
    except RecordingFailed as error:
        return Missed(str(error))
    thread = ThreadPoolExecutor(1, thread_name_prefix="rewind")
    task = _Rewind(_Kept(site.spec.dsn, site.spec.prefix, tuple(tables)), thread, site.observer)
    task.keeping = thread.submit(task.kept.keep)
    names = [f"{table.service}.{table.name}" for table in tables]
    return Wound({"processes": ["postgres"], "tables": names}, heal=task.heal, healed=task.healed, bites=task.bites)


@dataclass(slots=True)
class _Rewind:
    """Both steps in a thread of their own: with many rows they take longer than the runner may wait."""

    kept: "_Kept"
    thread: ThreadPoolExecutor
    observer: FileObserver
    keeping: "Future[None] | None" = None
    putting: "Future[dict[str, int]] | None" = None

    def heal(self) -> None:
        # There is one thread, so this begins when all has been kept.
        self.putting = self.thread.submit(self.kept.put_back)
        self.thread.shutdown(wait=False)

    def healed(self) -> bool:
        return self.putting is not None and self.putting.done()

    def bites(self) -> Mapping[str, Any] | None:
        if self.putting is None or not self.putting.done():
            return None
        error = self.putting.exception()
        if error is not None:
            # Nothing was put back: the fault hit nothing, and the reason stands in the events.
            self.observer.event("rewind-failed", process="postgres", reason=" ".join(str(error).split()))
            return None
        lost = {name: rows for name, rows in self.putting.result().items() if rows}
        return {"lost_rows": lost} if lost else None


@dataclass(frozen=True, slots=True)
class _Kept:
    """Copies of a run's tables in a schema whose name does not begin with the run's prefix: it is no service."""

    dsn: str
    prefix: str
    tables: tuple[Table, ...]

    def keep(self) -> None:
        """All tables as of one moment. Raises `psycopg.Error`."""
        with psycopg.connect(self.dsn, connect_timeout=10) as db:
            db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            db.execute(sql.SQL("CREATE SCHEMA {}").format(self._schema))
            for table in self.tables:
                db.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(self._copy(table), self._live(table)))

    def put_back(self) -> dict[str, int]:
        """Table → rows that are lost: they stood there, and do not any more. Raises `psycopg.Error`."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self._put_back()
            except psycopg.errors.DeadlockDetected:
                continue
        return self._put_back()

    def _put_back(self) -> dict[str, int]:
        lost = {}
        with psycopg.connect(self.dsn, connect_timeout=10) as db:
            live = sql.SQL(", ").join(map(self._live, self.tables))
            db.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(live))
            for table in self.tables:
                names = (self._live(table), self._copy(table))
                row = db.execute(sql.SQL("SELECT count(*) FROM (TABLE {} EXCEPT TABLE {})").format(*names)).fetchone()
                lost[f"{table.service}.{table.name}"] = int(row[0]) if row else 0
                db.execute(sql.SQL("TRUNCATE {}").format(names[0]))
                db.execute(sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE TABLE {}").format(*names))
            db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(self._schema))
        return lost

    @property
    def _schema(self) -> sql.Identifier:
        return sql.Identifier(f"kept-{self.prefix}")

    def _live(self, table: Table) -> sql.Identifier:
        return sql.Identifier(self.prefix + table.service, table.name)

    def _copy(self, table: Table) -> sql.Identifier:
        return sql.Identifier(f"kept-{self.prefix}", f"{table.service}.{table.name}")
