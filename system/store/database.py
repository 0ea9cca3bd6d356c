"""A connection whose transactions take no more round trips than their answers need.

BEGIN goes out with the first statement, and what nobody waits for goes out with the next one that somebody does, or
with COMMIT: libpq's pipeline, a Sync at the end of each trip. A round trip wakes two processes, and where the cores are
shared and the caches cold that costs more than the statement. Source: PostgreSQL, libpq, *Pipeline Mode*.
"""

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import InFailedSqlTransaction, UniqueViolation, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]

_REFUSED: Final = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.PIPELINE_ABORTED)


class Raced(Exception):
    """Another member applied the same message meanwhile: roll back and look again."""


class Statement(NamedTuple):
    """A text with a `%s` for each column, and the columns: literals that the text casts."""

    text: str
    columns: Sequence[str] = ()


BEGIN: Final = Statement("BEGIN")
COMMIT: Final = Statement("COMMIT")
ROLLBACK: Final = Statement("ROLLBACK")
SAVEPOINT: Final = Statement("SAVEPOINT inner_one")
RELEASE: Final = Statement("RELEASE SAVEPOINT inner_one")
UNDO: Final = Statement("ROLLBACK TO SAVEPOINT inner_one")


class Database:
    """One thread's. Statements are prepared once, under their texts; one outside a transaction is its own.

    Raises psycopg.Error as psycopg does; a row that is there already is `Raced`, where its statement's answer is heard.
    """

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        assert connection.autocommit, "when a transaction begins is decided here"
        self._psycopg = connection
        self._libpq = connection.pgconn
        self._rows = Transformer(connection)
        self._answer = select.poll()
        self._answer.register(connection.fileno(), select.POLLIN)
        self._names: dict[str, bytes] = {}
        self._named = 0
        self._owed: list[Statement] = []
        self._inside = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; inside another one, a savepoint."""
        is_outer = not self._inside
        undo = [ROLLBACK] if is_outer else [UNDO, RELEASE]
        self._inside = True
        if not is_outer:
            self._owed.append(SAVEPOINT)
            self._settle()
        try:
            yield
            if is_outer:
                self._commit()
            else:
                self._owed.append(RELEASE)
                self._settle()
        except BaseException:
            self._owed.clear()
            # What is raised says more; a connection that cannot even roll back is found broken by the next statement.
            with suppress(psycopg.Error):
                if not self._is_idle():
                    self._exchange(undo)
            raise
        finally:
            self._inside = not is_outer

    def rows(self, text: LiteralString, columns: Sequence[str]) -> list[Row]:
        """What a statement answers, after what was left for later before it."""
        statement = Statement(text, columns)
        result = self._exchange([*self._begin(), *self._taken(), statement])[-1]
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)

    def later(self, text: LiteralString, columns: Sequence[str]) -> None:
        """A statement whose answer is nothing but that it went well; heard with the next answer, or with COMMIT."""
        self._owed.append(Statement(text, columns))
        if not self._inside:
            self._settle()

    def execute(
        self, text: LiteralString, parameters: Sequence[Any] = (), *, prepare: bool = False, binary: bool = False
    ) -> psycopg.Cursor[Row]:
        """The same as psycopg does it, for parameters of other types and for answers in binary."""
        self._settle()
        return self._psycopg.execute(text, parameters, prepare=prepare, binary=binary)

    def close(self) -> None:
        """Ends the connection, and with it an open transaction."""
        self._psycopg.close()

    def _begin(self) -> tuple[Statement, ...]:
        return (BEGIN,) if self._inside and self._is_idle() else ()

    def _is_idle(self) -> bool:
        return self._libpq.transaction_status == TransactionStatus.IDLE

    def _taken(self) -> list[Statement]:
        owed, self._owed = self._owed, []
        return owed

    def _settle(self) -> None:
        if statements := [*self._begin(), *self._taken()]:
            self._exchange(statements)

    def _commit(self) -> None:
        """A transaction without a statement never began."""
        begin = self._begin()
        if begin and not self._owed:
            return
        committed = self._exchange([*begin, *self._taken(), COMMIT])[-1]
        # A transaction in which something was refused answers COMMIT with this, and no error.
        if committed.command_status == b"ROLLBACK":
            raise InFailedSqlTransaction("a statement of this transaction was refused: nothing of it is committed")

    def _exchange(self, statements: Sequence[Statement]) -> list[PGresult]:
        """One round trip; an answer a statement. Raises the first refusal: what stood behind it was not done."""
        libpq, fresh, is_asked = self._libpq, dict[str, bytes](), list[bool]()
        libpq.enter_pipeline_mode()
        for text, columns in statements:
            name = self._names.get(text) or fresh.get(text)
            if name is None:
                self._named += 1
                name = fresh[text] = b"choreobench_%d" % self._named
                libpq.send_prepare(name, _numbered(text))
                is_asked.append(False)
            libpq.send_query_prepared(name, [column.encode() for column in columns])
            is_asked.append(True)
        libpq.pipeline_sync()
        self._flush()
        results = self._results()
        libpq.exit_pipeline_mode()
        for result in results:
            if result.status in _REFUSED:
                raise _refusal(result)
        self._names.update(fresh)
        return [result for result, asked in zip(results, is_asked, strict=True) if asked]

    def _flush(self) -> None:
        """Both directions, or a server that waits for us to read would never read on itself."""
        if not self._libpq.flush():
            return
        both = select.poll()
        both.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        while self._libpq.flush():
            if both.poll()[0][1] & ~select.POLLOUT:
                self._libpq.consume_input()

    def _results(self) -> list[PGresult]:
        """Everything up to the answer to the Sync. Raises psycopg.OperationalError where the server goes."""
        results: list[PGresult] = []
        while True:
            while self._libpq.is_busy():
                self._answer.poll()
                self._libpq.consume_input()
            result = self._libpq.get_result()
            if result is None:
                continue  # The end of one statement's answer.
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            if self._libpq.status == ConnStatus.BAD:
                raise psycopg.OperationalError(result.get_error_message())
            results.append(result)


def _numbered(text: str) -> bytes:
    """Each `%s` as `$1`, `$2`, …"""
    first, *rest = text.split("%s")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))).encode()


def _refusal(result: PGresult) -> Exception:
    error = error_from_result(result)
    if not isinstance(error, UniqueViolation):
        return error
    raced = Raced("another member was faster with one of these rows")
    raced.__cause__ = error
    return raced
