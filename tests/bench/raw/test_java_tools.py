"""The figures of Kafka's tools are read from what they print, and nothing but a whole run is a figure."""

import pytest

from bench.raw.java_tools import consumed_per_s, mean_round_trip_us, produced_per_s
from bench.recording.errors import RecordingFailed

QUANTILES = "298 ms avg latency, 362.00 ms max latency, 309 ms 50th, 347 ms 95th, 356 ms 99th, 361 ms 99.9th."
PROGRESS = "250000 records sent, 49990.0 records/sec (4.77 MB/sec), 12.0 ms avg latency, 90.0 ms max latency."
WHOLE = f"1000 records sent, 400.500000 records/sec (38.15 MB/sec), {QUANTILES}"
STEADY = f"500 steady state records sent, 539.803456 records/sec (51.49 MB/sec), {QUANTILES}"
CONSUMED = "2026-11-21 10:00:00:001, 2026-11-21 10:00:02:001, 95.3, 47.6, 1000000, 500000.0, 400, 1600, 59.6, 625000.5"


def test_the_steady_state_of_the_producer_is_the_figure_where_there_was_a_warm_up() -> None:
    assert produced_per_s(f"Reading payloads from: x\n{PROGRESS}\n{WHOLE}\n{STEADY}\n", records=500) == 539.803456


def test_without_warm_up_it_is_the_whole_run() -> None:
    assert produced_per_s(f"{PROGRESS}\n{WHOLE}\n", records=1000) == 400.5


@pytest.mark.parametrize("said", ["", PROGRESS, WHOLE, "java.lang.OutOfMemoryError"])
def test_a_producer_that_did_not_send_them_all_has_no_figure(said: str) -> None:
    with pytest.raises(RecordingFailed, match="did not send 500 records"):
        produced_per_s(said, records=500)


def test_the_consumer_is_read_by_its_fetch_time_without_the_joining() -> None:
    assert consumed_per_s(f"{CONSUMED}\n", records=1_000_000) == 625000.5


@pytest.mark.parametrize("said", ["", CONSUMED, "WARNING: Exiting before consuming the expected number of messages"])
def test_a_consumer_that_did_not_read_them_all_has_no_figure(said: str) -> None:
    with pytest.raises(RecordingFailed, match="did not read 1000001 records"):
        consumed_per_s(said, records=1_000_001)


def test_the_mean_round_trip_is_in_microseconds() -> None:
    said = "0\t13.5\nAvg latency: 0.4321 ms\nPercentiles: 50th = 0, 99th = 1, 99.9th = 12\n"
    assert mean_round_trip_us(said) == pytest.approx(432.1)
    with pytest.raises(RecordingFailed, match="no latency: nothing"):
        mean_round_trip_us("")
