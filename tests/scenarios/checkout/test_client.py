"""The clients of checkout against a real broker and a real database, with the services played by the test."""

import string
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from psycopg import errors

from bench.cluster.endpoints import Endpoints
from bench.scenarios.checkout import client, seeding
from bench.scenarios.checkout.outcome_reader import OutcomeReader
from bench.scenarios.checkout.sessions import error_name, fate
from bench.scenarios.checkout.workload import CHECKOUT, POISON
from bench.spec import RunSpec
from bench.waiting import wait_until
from loadgen.driver import Plan, drive
from loadgen.history import create_history
from loadgen.operations import write_parquet
from loadgen.target import FAIL, INFO, OK, FateUnknown, Outcomes
from system.checkout.checkout import Client
from system.checkout.contract import DATA_TOPICS, OUTCOME_CHECKOUT, PAY
from system.kafka.config import Value
from system.kafka.producer import Unacknowledged
from system.runtime.decoding import DEAD_LETTER_SUFFIX
from system.runtime.observer import NullObserver

PARTITIONS = 2
OPERATIONS = 400


@pytest.fixture
def spec(cluster: Endpoints, database: str, prefix: str, tmp_path: Path) -> RunSpec:
    """A run whose topics and schemas exist, empty."""
    connection: dict[str, Value] = {**cluster.client, "bootstrap.servers": cluster.bootstrap}
    names = [prefix + topic + suffix for topic in DATA_TOPICS for suffix in ("", DEAD_LETTER_SUFFIX)]
    admin = AdminClient(connection)
    for created in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        created.result(30)
    statements = files("system.checkout").joinpath("tables.sql").read_text()
    with psycopg.connect(database) as db:
        db.execute(string.Template(statements).substitute(prefix=prefix).encode())
    return RunSpec(
        scenario="checkout",
        guarantee="idempotent",
        fault="none",
        broken=None,
        seed=11,
        prefix=prefix,
        folder=str(tmp_path),
        operations=OPERATIONS,
        warm_up=0,
        rate_per_s=None,
        arrival="poisson",
        settings={"users": "20", "items": "10", "poison": "9", "repeat_after": "10"},
        partitions=PARTITIONS,
        brokers=1,
        workers={},
        replay=False,
        session_timeout_ms=6_000,
        group_protocol="classic",
        assignor="cooperative-sticky",
        static_members=False,
        drain_deadline_s=30.0,
        window=16,
        connection=connection,
        dsn=database,
    )


def rows(spec: RunSpec, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(spec.dsn) as db:
        return db.execute(string.Template(query).substitute(prefix=spec.prefix).encode()).fetchall()


def test_seeding_fills_the_tables_with_the_population(spec: RunSpec) -> None:
    seeding.seed_tables(spec)
    population = client.workload_of(spec).population
    orders = rows(spec, 'SELECT order_id, user_id, paid, status, items::json, amount, tr FROM "${prefix}order".orders')
    assert len(orders) == population.orders
    for order_id, user_id, paid, status, items, amount, tr in orders:
        order = int(str(order_id))
        lines = range(population.offsets[order], population.offsets[order + 1])
        assert user_id == str(population.order_user[order])
        assert (paid, status, tr) == (False, "not_paid", 0)
        assert items == [[str(population.line_item[line]), int(population.line_quantity[line])] for line in lines]
        assert amount == population.amount[order]
    users = rows(spec, 'SELECT credit FROM "${prefix}pay".users ORDER BY user_id::int')
    assert [credit for (credit,) in users] == population.credit.tolist()
    items_table = rows(spec, 'SELECT stock, price FROM "${prefix}stock".items ORDER BY item_id::int')
    assert items_table == list(zip(population.stock.tolist(), population.price.tolist(), strict=True))


def test_seeding_twice_replaces_what_was_there(spec: RunSpec) -> None:
    seeding.seed_tables(spec)
    seeding.seed_tables(spec)
    assert rows(spec, 'SELECT count(*) FROM "${prefix}order".orders') == [(client.workload_of(spec).population.orders,)]


def test_the_inboxes_begin_with_as_many_rows_of_earlier_sagas_as_are_asked_for(spec: RunSpec) -> None:
    seeding.seed_tables(replace(spec, settings={**spec.settings, "inbox_rows": "1001"}))
    for service, success in (("pay", "psuccess"), ("stock", "ssuccess")):
        found = rows(spec, f'SELECT count(*), max(tr), min(outcome), max(outcome) FROM "${{prefix}}{service}".inbox')
        assert found == [(501, 0, success, success)]


@pytest.fixture
def order_consumer(spec: RunSpec) -> Iterator[None]:
    """Answers every `pay` with success and pays the order, as all services together would."""
    stop = threading.Event()

    def answer() -> None:
        consumer = Consumer({**spec.connection, "group.id": spec.prefix + "fake", "auto.offset.reset": "earliest"})
        consumer.subscribe([spec.prefix + PAY])
        producer = Producer({**spec.connection, "partitioner": "murmur2_random"})
        with psycopg.connect(spec.dsn, autocommit=True) as db:
            while not stop.is_set():
                for message in consumer.consume(100, 0.05):
                    key = message.key() or b""
                    order_id, _, tr = key.decode("latin-1").partition("_")
                    if message.error() is None and order_id.isdigit() and tr.isdigit():
                        table = f'"{spec.prefix}order".orders'
                        db.execute(f"UPDATE {table} SET status = 'paid' WHERE order_id = %s".encode(), (order_id,))
                        producer.produce(spec.prefix + OUTCOME_CHECKOUT, key=key, value=b'"success"')
                producer.flush()
        consumer.close()

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    stop.set()
    thread.join(30)


@pytest.mark.usefixtures("order_consumer")
def test_a_whole_load_runs_against_real_servers_and_every_operation_ends(spec: RunSpec, tmp_path: Path) -> None:
    seeding.seed_tables(spec)
    history = create_history(tmp_path / "history", operations=OPERATIONS)
    target = client.open_load(spec, NullObserver(), lambda point: None)
    plan = Plan(intended_ns=None, window=spec.window, drain_deadline_s=60.0)
    progress = drive(plan, target, history, stop=threading.Event())
    operations = client.workload_of(spec).operations
    checkout, poisoned = operations.kind == CHECKOUT, operations.kind == POISON
    assert (progress.finished, progress.info, progress.errors) == (OPERATIONS, 0, 0)
    assert (history.outcome[checkout] == OK).all()
    assert (history.tr[checkout] == 1).all()
    assert (history.outcome[poisoned] == OK).all()
    assert (history.balance[poisoned] >= 0).all()
    assert write_parquet(history, tmp_path / "operations.parquet", describe=client.describe(spec)) == OPERATIONS
    assert rows(spec, """SELECT count(*) FROM "${prefix}order".orders WHERE status <> 'paid'""") == [(0,)]


@pytest.mark.usefixtures("order_consumer")
def test_what_an_earlier_driver_began_and_did_not_produce_is_produced_at_the_next_start(spec: RunSpec) -> None:
    seeding.seed_tables(spec)
    with psycopg.connect(spec.dsn) as db:
        table = f'"{spec.prefix}order".orders'
        db.execute(f"UPDATE {table} SET status = 'pending', tr = 1 WHERE order_id = '7'".encode())
    target = client.open_load(spec, NullObserver(), lambda point: None)
    read: list[tuple[int, int, bool]] = []

    def arrived() -> bool:
        outcomes = target.outcomes(0.1)
        read.extend(zip(outcomes.entity.tolist(), outcomes.tr.tolist(), outcomes.success.tolist(), strict=True))
        return bool(read)

    wait_until(arrived, deadline_s=30, why="the outcome of order 7")
    assert read == [(7, 1, True)]


def test_requests_that_the_broker_did_not_acknowledge_are_left_behind_until_a_session_produces_them(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeding.seed_tables(spec)
    target = client.open_load(spec, NullObserver(), lambda point: None)
    lane = target.lanes[0]
    session = lane.open_session()
    assert target.left_behind() == ""
    with monkeypatch.context() as patched:
        patched.setattr(Client, "_produce", lambda *_: _unacknowledged())
        with pytest.raises(FateUnknown):
            session.begin(lane.operations[:3])
    session.close()
    assert "did not acknowledge" in target.left_behind()
    lane.open_session().close()
    assert target.left_behind() == ""


def _unacknowledged() -> None:
    raise Unacknowledged("3 records: _MSG_TIMED_OUT", [])


def test_the_outcome_reader_sends_what_it_cannot_decode_to_the_dead_letters_and_reads_on(spec: RunSpec) -> None:
    topic = spec.prefix + OUTCOME_CHECKOUT
    reader = OutcomeReader(spec.connection, prefix=spec.prefix, partitions=PARTITIONS, observer=NullObserver())
    producer = Producer({**spec.connection})
    for key, value in ((b"1_1", b'"success"'), (b"2_1", b"nonsense"), (b"x_1", b'"fail"'), (b"3_2", b'"fail"')):
        producer.produce(topic, key=key, value=value, partition=0)
    producer.flush()
    read: list[Outcomes] = []

    def arrived() -> bool:
        read.append(reader.outcomes(0.1))
        return sum(len(outcomes.entity) for outcomes in read) == 2

    wait_until(arrived, deadline_s=30, why="both outcomes of ours")
    reader.close()
    assert np.concatenate([outcomes.entity for outcomes in read]).tolist() == [1, 3]
    assert np.concatenate([outcomes.tr for outcomes in read]).tolist() == [1, 2]
    assert np.concatenate([outcomes.success for outcomes in read]).tolist() == [True, False]
    letters = Consumer({**spec.connection, "group.id": spec.prefix + "letters", "auto.offset.reset": "earliest"})
    letters.subscribe([topic + DEAD_LETTER_SUFFIX])
    letter = wait_until(lambda: letters.poll(0.1), deadline_s=30, why="the dead letter")
    headers = dict(letter.headers() or [])
    letters.close()
    assert (letter.key(), letter.value()) == (b"2_1", b"nonsense")
    assert (headers["source_topic"], headers["source_offset"]) == (topic.encode(), b"1")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.DeadlockDetected(), FAIL),
        (errors.SerializationFailure(), FAIL),
        (errors.UniqueViolation(), FAIL),
        (errors.StatementCompletionUnknown(), INFO),
        (errors.AdminShutdown(), INFO),
        (psycopg.OperationalError("connection lost"), INFO),
        (OSError("reset"), INFO),
    ],
)
def test_an_error_is_fail_only_where_the_database_says_that_it_rolled_back(error: Exception, outcome: int) -> None:
    assert fate(error) == outcome
    assert error_name(error) == type(error).__name__
