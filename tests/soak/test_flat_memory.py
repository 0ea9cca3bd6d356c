from tests.soak.flat_memory import Sample, growth, trend


def steady(rounds: int, **step: int) -> list[Sample]:
    """Samples with noise, an arena more half way, and so much more of something each round."""
    rows = []
    for row in range(rounds):
        grown = {name: row * amount for name, amount in step.items()}
        noise = (row * 7919) % 400 + (4096 if row > rounds // 2 else 0)
        rows.append(
            Sample(
                100_000 + noise + grown.get("rss_kib", 0),
                50_000 + row % 3 + grown.get("blocks", 0),
                12 + grown.get("threads", 0),
                30 + grown.get("files", 0),
            )
        )
    return rows


def test_noise_and_a_single_step_are_flat() -> None:
    assert growth(steady(200)) == []


def test_a_leak_of_each_kind_is_named() -> None:
    for name, step, told in (
        ("rss_kib", 40, "resident KiB"),
        ("blocks", 20, "live blocks"),
        ("threads", 1, "threads"),
        ("files", 1, "open files"),
    ):
        (line,) = growth(steady(200, **{name: step}))
        assert told in line


def test_too_few_rounds_prove_nothing() -> None:
    assert growth(steady(5)) == ["5 rounds are too few to tell"]


def test_the_trend_is_the_growth_a_round() -> None:
    assert trend([5, 8, 11, 14]) == 3.0
    assert trend([7, 7, 900, 7, 7]) == 0.0
