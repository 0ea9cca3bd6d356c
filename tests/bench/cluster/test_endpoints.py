"""A client configuration is read or refused with the place of what is wrong."""

from pathlib import Path

import pytest

from bench.cluster.endpoints import read_client_config
from system.kafka.config import BadClientConfig


def test_properties_are_read_with_comments_and_blanks(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# login\nsecurity.protocol = SASL_SSL\n\nsasl.password=a=b\n")
    assert read_client_config(file) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}


def test_no_file_means_no_properties() -> None:
    assert read_client_config(None) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a=b\nsecurity.protocol", "line 2: not a librdkafka property"),
        ("=b", "line 1: not a librdkafka property"),
        ("bootstrap.servers=x:1", "line 1: name the servers with --bootstrap-servers"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "client.properties"
    file.write_text(text)
    with pytest.raises(BadClientConfig, match=told):
        read_client_config(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadClientConfig, match="cannot be read"):
        read_client_config(tmp_path / "none")
