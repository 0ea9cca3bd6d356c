"""`raw.json` carries every setting and figure, and the terminal shows them."""

import io
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bench.raw.document import content, write
from bench.raw.table import print_document
from tests.bench.raw.literal_record import literal_record


def test_a_document_has_settings_figures_ratios_and_bottlenecks_with_units_in_their_names(tmp_path: Path) -> None:
    written = orjson.loads(write(literal_record(), tmp_path).read_bytes())
    assert written["schema_version"] == 1
    assert written["settings"]["librdkafka_producer"]["acks"] == "all"
    assert "bootstrap.servers" not in written["settings"]["librdkafka_producer"]
    assert written["machine"]["loopback_bytes_per_s"]["median"] == 4e9
    cell = next(one for one in written["cells"] if one["name"] == "produce")
    assert (cell["payload_bytes"], cell["partitions"], cell["acks"], cell["compression"]) == (100, 4, "all", "none")
    first = cell["contenders"][0]
    assert first["rate_records_per_s"]["samples"] == pytest.approx([4e6 / (1 + 0.1 * n) for n in range(5)])
    assert first["rate_records_per_s"]["count"] == 5
    assert first["bottleneck"] == "broker"
    assert first["busy_cores"]["broker"] == 1.2
    # Slow rounds slowed all alike, so the ratio knows no spread.
    assert cell["ours_to"]["confluent-kafka produce_batch"] == pytest.approx(
        {"median": 4.0, "low": 4.0, "high": 4.0, "count": 5}
    )


def test_a_shorter_trip_is_the_better_one() -> None:
    cell = next(one for one in content(literal_record())["cells"] if one["name"] == "round-trip")
    assert cell["ours_to"]["EndToEndLatency"]["median"] == pytest.approx(3.0)
    pooled = cell["contenders"][0]["round_trip_us"]
    assert pooled["count"] == 10_000
    assert 400 < pooled["p50"] < 840


def test_a_sketch_claims_nothing() -> None:
    assert {one["verdict"] for one in content(literal_record("smoke"))["claims"]} == {"not measured"}
    assert {one["verdict"] for one in content(literal_record())["claims"]} >= {"reached", "not reached"}


def test_the_terminal_shows_every_cell_its_ratio_and_the_claims() -> None:
    shown, document = io.StringIO(), content(literal_record())
    print_document(Console(file=shown, width=60), document)
    text = shown.getvalue()
    assert all(cell["name"] in text for cell in document["cells"])
    assert "4.00 × (4.00 to 4.00)" in text
    assert "over 1 million records a second produced" in text
    assert "20.0 µs a round trip over loopback TCP" in text
