"""The workload of checkout: what the knobs promise is what the operations are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scenarios.checkout.knobs import KNOBS, Knobs, parse_knobs
from bench.scenarios.checkout.population import (
    CONTENDED,
    HEADROOM,
    NEITHER,
    NO_CREDIT,
    NO_STOCK,
    ORDINARY,
    Population,
    populate,
)
from bench.scenarios.checkout.workload import (
    CHECKOUT,
    FUNDS,
    MORE_THAN_THERE_IS,
    PAYMENT,
    POISON,
    STOCK,
    Operations,
    Workload,
    generate,
    operations_of,
    orders_of,
)

some_knobs = st.builds(
    Knobs,
    users=st.integers(1, 50),
    items=st.integers(5, 50),
    item_skew=st.floats(0, 3),
    lines_max=st.integers(1, 5),
    quantity_max=st.integers(1, 5),
    fail_credit=st.floats(0, 0.3),
    fail_stock=st.floats(0, 0.3),
    fail_both=st.floats(0, 0.2),
    contention=st.floats(0, 0.2),
    hot=st.integers(1, 5),
    top_up=st.floats(0, 1),
    repeat_paid=st.floats(0, 0.2),
    payments=st.floats(0, 0.2),
    stock_changes=st.floats(0, 0.2),
    refused=st.floats(0, 1),
    poison=st.integers(0, 10),
    repeat_after=st.integers(0, 100),
)


def outcome_of_each(workload: Workload) -> tuple[Counter[str], list[int], list[int]]:
    """Runs the operations one after the other against plain arrays: kinds of outcomes, and what is left."""
    population, operations = workload.population, workload.operations
    credit, stock = population.credit.tolist(), population.stock.tolist()
    paid: set[int] = set()
    outcomes: Counter[str] = Counter()
    for kind, entity, amount in zip(
        operations.kind.tolist(), operations.entity.tolist(), operations.amount.tolist(), strict=True
    ):
        if kind == CHECKOUT:
            outcomes[checked_out(population, entity, (credit, stock), paid)] += 1
        elif kind == FUNDS:
            credit[entity] += amount
        elif kind == PAYMENT:
            credit[entity] -= amount if amount <= credit[entity] else 0
        elif kind == STOCK:
            stock[entity] += amount if stock[entity] + amount >= 0 else 0
    return outcomes, credit, stock


def checked_out(population: Population, order: int, balances: tuple[list[int], list[int]], paid: set[int]) -> str:
    credit, stock = balances
    if order in paid:
        return "paid before"
    lines = range(population.offsets[order], population.offsets[order + 1])
    wanted = {int(population.line_item[line]): int(population.line_quantity[line]) for line in lines}
    user, amount = int(population.order_user[order]), int(population.amount[order])
    has_credit = credit[user] >= amount
    has_stock = all(stock[item] >= quantity for item, quantity in wanted.items())
    if has_credit and has_stock:
        paid.add(order)
        credit[user] -= amount
        for item, quantity in wanted.items():
            stock[item] -= quantity
        return "paid"
    return {(False, True): "no credit", (True, False): "no stock", (False, False): "neither"}[has_credit, has_stock]


@settings(deadline=None, max_examples=60)
@given(some_knobs, st.integers(30, 600), st.integers(0, 2**32))
def test_there_are_exactly_as_many_operations_as_asked_for(knobs: Knobs, operations: int, seed: int) -> None:
    workload = generate(knobs, operations=operations, seed=seed)
    assert len(workload.operations) == operations
    assert workload.population.orders == orders_of(knobs, operations=operations)


@settings(deadline=None, max_examples=60)
@given(some_knobs, st.integers(1, 500))
def test_operations_of_is_the_least_number_that_holds_the_orders(knobs: Knobs, orders: int) -> None:
    operations = operations_of(knobs, orders=orders)
    assert orders_of(knobs, operations=operations) >= orders
    assert orders_of(knobs, operations=operations - 1) < orders


@settings(deadline=None, max_examples=30)
@given(some_knobs, st.integers(30, 300), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_workload(knobs: Knobs, operations: int, seed: int) -> None:
    first, second = (generate(knobs, operations=operations, seed=seed) for _ in range(2))
    for one, other in zip(vars(first.population).values(), vars(second.population).values(), strict=True):
        assert (one == other).all()
    assert (first.operations.entity == second.operations.entity).all()
    assert (first.operations.amount == second.operations.amount).all()


@settings(deadline=None, max_examples=60)
@given(some_knobs, st.integers(1, 300), st.integers(0, 2**32))
def test_an_order_has_distinct_items_and_the_amount_of_its_lines(knobs: Knobs, orders: int, seed: int) -> None:
    population = populate(knobs, orders=orders, seed=seed)
    for order in range(orders):
        lines = slice(population.offsets[order], population.offsets[order + 1])
        items, quantities = population.line_item[lines], population.line_quantity[lines]
        assert 1 <= len(items) <= knobs.lines_max
        assert len(set(items.tolist())) == len(items)
        assert ((quantities >= 1) & (quantities <= knobs.quantity_max)).all()
        assert population.amount[order] == (population.price[items] * quantities).sum()
    assert (population.credit >= 0).all()
    assert (population.stock >= 0).all()


@settings(deadline=None, max_examples=60)
@given(some_knobs, st.integers(1, 300), st.integers(0, 2**32))
def test_a_failing_order_lacks_what_its_class_says_and_nothing_else(knobs: Knobs, orders: int, seed: int) -> None:
    population = populate(knobs, orders=orders, seed=seed)
    for order, number in enumerate(population.order_class.tolist()):
        balances = (population.credit.tolist(), population.stock.tolist())
        expected = {ORDINARY: "paid", NO_CREDIT: "no credit", NO_STOCK: "no stock", NEITHER: "neither"}
        if number != CONTENDED:
            assert checked_out(population, order, balances, set()) == expected[number]


@settings(deadline=None, max_examples=40)
@given(some_knobs, st.integers(30, 600), st.integers(0, 2**32))
def test_without_contention_each_order_fails_or_succeeds_as_planned(knobs: Knobs, operations: int, seed: int) -> None:
    quiet = parse_knobs({}).__class__(**{**vars(knobs), "contention": 0.0})
    workload = generate(quiet, operations=operations, seed=seed)
    outcomes, credit, stock = outcome_of_each(workload)
    classes = Counter(workload.population.order_class.tolist())
    assert outcomes["no credit"] == classes[NO_CREDIT]
    assert outcomes["no stock"] == classes[NO_STOCK]
    assert outcomes["neither"] == classes[NEITHER]
    assert min(credit) >= 0
    assert min(stock) >= 0
    assert min(credit[: quiet.users]) >= HEADROOM
    assert min(stock[: quiet.items]) >= HEADROOM


def test_the_default_fails_a_tenth_of_the_orders_and_half_of_these_succeed_later() -> None:
    workload = generate(Knobs(contention=0.0), operations=23_000, seed=5)
    outcomes, _, _ = outcome_of_each(workload)
    orders = workload.population.orders
    failed = outcomes["no credit"] + outcomes["no stock"] + outcomes["neither"]
    assert failed / orders == pytest.approx(0.1, abs=0.001)
    assert outcomes["paid"] == pytest.approx(orders * 0.95, rel=0.001)
    assert outcomes["paid before"] == pytest.approx(orders * 0.02, rel=0.01)


def test_competing_orders_get_about_half_of_what_they_ask_for() -> None:
    workload = generate(Knobs(contention=0.5, fail_credit=0, fail_stock=0, fail_both=0), operations=10_000, seed=5)
    outcomes, _, _ = outcome_of_each(workload)
    assert outcomes["no credit"] > 300
    assert outcomes["no stock"] > 300
    assert outcomes["paid"] > workload.population.orders / 2


def first_and_second(operations: Operations, order: int) -> tuple[int, int]:
    rows = np.flatnonzero((operations.kind == CHECKOUT) & (operations.entity == order))
    return int(rows[0]), int(rows[1])


def test_a_repeat_stands_at_least_its_distance_behind_and_its_top_up_between() -> None:
    knobs = Knobs(repeat_after=500)
    workload = generate(knobs, operations=11_500, seed=3)
    operations, population = workload.operations, workload.population
    checkouts = Counter(operations.entity[operations.kind == CHECKOUT].tolist())
    repeated = [order for order, count in checkouts.items() if count == 2]
    assert len(repeated) > 500
    for order in repeated:
        first, second = first_and_second(operations, order)
        assert second - first >= 500
        if population.order_class[order] in (NO_CREDIT, NEITHER):
            funds = np.flatnonzero((operations.kind == FUNDS) & (operations.entity == population.order_user[order]))
            assert first + 500 <= int(funds[0]) <= second - 500


def test_popular_items_are_much_more_popular_under_zipf_and_not_when_uniform() -> None:
    for skew, least, most in ((0.99, 10.0, 1_000.0), (0.0, 0.5, 1.5)):
        population = populate(Knobs(item_skew=skew), orders=20_000, seed=1)
        counts = np.bincount(population.line_item, minlength=1_000)[:1_000]
        assert least < counts.max() / counts.mean() < most


def test_some_direct_payments_and_subtractions_ask_for_more_than_there_is() -> None:
    operations = generate(Knobs(payments=0.2, stock_changes=0.2), operations=10_000, seed=1).operations
    assert (operations.amount[operations.kind == PAYMENT] == MORE_THAN_THERE_IS).sum() > 50
    assert (operations.amount[operations.kind == STOCK] == -MORE_THAN_THERE_IS).sum() > 20
    assert operations.amount[operations.kind == STOCK].max() <= 100


def test_poison_is_spread_over_all_topics_that_a_service_reads() -> None:
    operations = generate(Knobs(poison=30), operations=1_000, seed=1).operations
    poisoned = operations.kind == POISON
    assert Counter(operations.entity[poisoned].tolist()) == {0: 10, 1: 10, 2: 10}


@pytest.mark.parametrize(
    ("given_settings", "names"),
    [
        ({"nonsense": "1"}, "unknown setting 'nonsense'; legal: users, items"),
        ({"users": "0"}, "users=0 is not legal; legal: a whole number from 1 to 10000000"),
        ({"users": "many"}, "users='many' is not legal"),
        ({"users": "1.5"}, "a whole number"),
        ({"fail_credit": "1.1"}, "a number from 0 to 1"),
        ({"fail_credit": "nan"}, "a number from 0 to 1"),
        ({"fail_credit": "0.7", "fail_both": "0.6"}, "is 1.35; legal: at most 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_can(given_settings: dict[str, str], names: str) -> None:
    with pytest.raises(ValueError, match=names) as refusal:
        parse_knobs(given_settings)
    assert "\n" not in str(refusal.value)


def test_settings_keep_their_type_and_the_others_their_default() -> None:
    knobs = parse_knobs({"users": "7", "fail_credit": "0.5"})
    assert (knobs.users, knobs.fail_credit, knobs.items) == (7, 0.5, Knobs().items)


def test_every_knob_has_a_unit_a_sentence_and_a_legal_default() -> None:
    for knob in KNOBS:
        assert knob.unit
        assert knob.doc.endswith(".")
        assert knob.least <= knob.default <= knob.most


def test_too_few_operations_for_one_order_are_refused_with_the_least_legal_number() -> None:
    with pytest.raises(ValueError, match="legal: at least 14"):
        generate(Knobs(), operations=5, seed=1)
