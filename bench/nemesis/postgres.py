"""Faults of PostgreSQL: dead and recovered, stopped, disconnected, slow, and put back to an earlier moment."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, LiteralString

import psutil
import psycopg

from bench.cluster.postgres import NAME
from bench.nemesis import wake
from bench.nemesis.plan import Fault
from bench.nemesis.rewind import rewind
from bench.nemesis.site import Hand, Missed, Site, Wound

COMMIT_DELAY_US: Final = 100_000
"""PostgreSQL's largest `commit_delay`: with `commit_siblings = 0` every flush waits so long."""

_CLIENTS: LiteralString = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
_IN_FLIGHT: LiteralString = (
    f"SELECT application_name, count(*) FROM pg_stat_activity WHERE {_CLIENTS} AND xact_start IS NOT NULL GROUP BY 1"
)
_TERMINATE: LiteralString = f"""SELECT application_name, pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE {_CLIENTS} AND xact_start IS NOT NULL AND NOT application_name = ANY(%s)"""


def _connect(site: Site) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(site.spec.dsn, autocommit=True, connect_timeout=2, application_name="nemesis")


def _in_flight(site: Site) -> dict[str, int]:
    """Client → its open transactions. Raises `psycopg.Error`."""
    with _connect(site) as db:
        return {str(name): int(count) for name, count in db.execute(_IN_FLIGHT).fetchall()}


def _hit(site: Site) -> dict[str, Any]:
    return {"processes": [NAME], "pids": {NAME: site.endpoints.roster.of(NAME).pid}, "in_flight": _in_flight(site)}


def _answers(site: Site) -> bool:
    with suppress(psycopg.OperationalError), _connect(site) as db:
        db.execute("SELECT 1")
        return True
    return False


@dataclass(slots=True)
class _Dead:
    """A server that was told to end at once: started again over the same folder and port, it replays its log."""

    site: Site
    may_start: bool = False
    is_started: bool = False

    def heal(self) -> None:
        self.may_start = True

    def tend(self) -> None:
        roster = self.site.endpoints.roster
        if self.may_start and not self.is_started and roster.of(NAME).poll() is not None:
            self.is_started = True
            pid = roster.start_again(NAME).pid
            self.site.observer.event("server-started", process=NAME, pid=pid)

    def healed(self) -> bool:
        if not self.is_started or not _answers(self.site):
            return False
        self.site.endpoints.roster.is_back(NAME)
        return True


def kill(_fault: Fault, site: Site) -> Wound | Missed:
    """An immediate shutdown: no checkpoint, every transaction in flight lost (pg_ctl's `immediate`, SIGQUIT)."""
    try:
        hit = _hit(site)
    except psycopg.Error as error:
        return Missed(f"the database did not answer: {_line(error)}")
    roster = site.endpoints.roster
    roster.away.add(NAME)
    roster.of(NAME).signal(signal.SIGQUIT)
    dead = _Dead(site)
    return Wound(hit, heal=dead.heal, healed=dead.healed, tend=dead.tend)


def pause(_fault: Fault, site: Site) -> Wound | Missed:
    """SIGSTOP to the server and all of its processes: clients wait and hear nothing."""
    try:
        hit = _hit(site)
    except psycopg.Error as error:
        return Missed(f"the database did not answer: {_line(error)}")
    server = psutil.Process(hit["pids"][NAME])
    # The first one starts the others, so it stops first and wakes up last.
    pids = [server.pid]
    watcher = wake.on_our_death(pids)
    _send(signal.SIGSTOP, pids)
    pids += [child.pid for child in server.children(recursive=True)]
    _send(signal.SIGSTOP, pids[1:])

    def heal() -> None:
        _send(signal.SIGCONT, pids[::-1])
        wake.dismiss(watcher)

    return Wound({**hit, "stopped": len(pids)}, heal=heal, healed=partial(_answers, site))


def _send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # A backend may have ended since it was listed.
            os.kill(pid, number)


@dataclass(slots=True)
class _Cutter:
    """Terminates each client's connection once, at a moment at which it has a transaction open."""

    site: Site
    cut: dict[str, int] = field(default_factory=dict)

    def tend(self) -> None:
        with suppress(psycopg.OperationalError), _connect(self.site) as db:
            for name, pid, _ in db.execute(_TERMINATE, (["nemesis", *self.cut],)).fetchall():
                self.cut[str(name)] = int(pid)
                self.site.observer.event("connection-terminated", process=NAME, client=name, pid=pid)

    def bites(self) -> Mapping[str, Any] | None:
        return {"connections": dict(self.cut)} if self.cut else None


def disconnect(_fault: Fault, site: Site) -> Wound | Missed:
    """Whoever has a transaction open while this lasts loses the connection in the middle of it, once."""
    cutter = _Cutter(site)
    cutter.tend()
    return Wound({"processes": [NAME]}, tend=cutter.tend, bites=cutter.bites, counts_from_bite=True)


@dataclass(slots=True)
class _Slow:
    site: Site
    over: bool = False

    def heal(self) -> None:
        self.over = True

    def healed(self) -> bool:
        with suppress(psycopg.OperationalError), _connect(self.site) as db:
            for name in ("commit_delay", "commit_siblings"):
                db.execute(f"ALTER SYSTEM RESET {name}".encode())
            db.execute("SELECT pg_reload_conf()")
            return True
        return False

    def bites(self) -> Mapping[str, Any] | None:
        """A session of its own sees the new setting."""
        with suppress(psycopg.OperationalError), _connect(self.site) as db:
            row = db.execute("SELECT setting::int FROM pg_settings WHERE name = 'commit_delay'").fetchone()
            return {"commit_delay_us": row[0]} if row and row[0] == COMMIT_DELAY_US else None
        return None


def slow(_fault: Fault, site: Site) -> Wound | Missed:
    """Every commit waits a tenth of a second before its flush."""
    try:
        hit = _hit(site)
        with _connect(site) as db:
            db.execute(f"ALTER SYSTEM SET commit_delay = {COMMIT_DELAY_US}".encode())
            db.execute("ALTER SYSTEM SET commit_siblings = 0")
            db.execute("SELECT pg_reload_conf()")
    except psycopg.Error as error:
        return Missed(f"the database did not answer: {_line(error)}")
    delay = _Slow(site)
    return Wound(hit, heal=delay.heal, healed=delay.healed, bites=delay.bites)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


HANDS: Final[Mapping[str, Hand]] = {
    "kill": kill,
    "pause": pause,
    "disconnect": disconnect,
    "slow": slow,
    "rewind": rewind,
}
