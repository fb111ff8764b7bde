"""Destinations of exports: a file, an HTTP server, an S3 server. An export that breaks off is never left as a whole one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from kat_metering.exports.destinations import (
    DestinationError,
    Source,
    ToFile,
    ToHttp,
    ToS3,
    destination,
)
from tests.fakes.http_sink import Sink, http_sink
from tests.fakes.s3_server import s3_server

PIECES = [b"one,", b"two,", b"three\n"]
CONTENT = b"".join(PIECES)
LARGE = [bytes([number]) * 1_000_000 for number in range(40)]
"""More than two parts of an upload to S3."""


def source(pieces: list[bytes] = PIECES) -> Source:
    return Source(iter(pieces), sum(map(len, pieces)), "text/csv")


class BrokeOff(Exception):
    pass


def breaking_off(pieces: list[bytes] = PIECES) -> Source:
    """An export that ends before its last piece."""

    def some() -> Iterator[bytes]:
        yield from pieces[:-1]
        raise BrokeOff

    return Source(some(), sum(map(len, pieces)), "text/csv")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with http_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A bucket of the test's own, with credentials in the environment where AWS clients look for them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    return boto3.resource("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)


def test_a_file_holds_the_export(tmp_path: Path) -> None:
    ToFile(tmp_path / "usage.csv").put(source())
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("usage.csv", CONTENT)]


def test_an_export_that_breaks_off_leaves_the_file_of_before(tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_bytes(b"before")
    with pytest.raises(BrokeOff):
        ToFile(tmp_path / "usage.csv").put(breaking_off())
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("usage.csv", b"before")]


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match=r"away/usage\.csv: No such file"):
        ToFile(tmp_path / "away" / "usage.csv").put(source())


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_url_gets_the_export_with_its_type_its_length_and_the_token(sink: Sink, method: Any) -> None:
    destination(f"{sink.url}/in/usage.csv?sig=1", method=method, token="secret").put(source())
    [(sent, path, headers, body)] = sink.received
    assert (sent, path, body) == (method, "/in/usage.csv?sig=1", CONTENT)
    assert (headers["Content-Type"], headers["Content-Length"], headers["Authorization"]) == (
        "text/csv", str(len(CONTENT)), "Bearer secret")  # fmt: skip


def test_without_a_token_no_credentials_are_sent(sink: Sink) -> None:
    ToHttp(sink.url).put(source())
    assert "Authorization" not in sink.received[0][2]


def test_an_export_that_breaks_off_is_no_whole_request(sink: Sink) -> None:
    with pytest.raises(BrokeOff):
        ToHttp(f"{sink.url}/usage.csv").put(breaking_off())
    assert sink.ended.wait(10)
    assert (sink.received, sink.broken) == ([], [b"one,two,"])


@pytest.mark.parametrize("status", [302, 403, 500])
def test_a_url_that_refuses_is_an_error_without_the_secret_of_its_query(sink: Sink, status: int) -> None:
    sink.status = status
    with pytest.raises(DestinationError, match=rf"^{sink.url}/usage\.csv answered PUT with {status}"):
        ToHttp(f"{sink.url}/usage.csv?sig=secret").put(source())


def test_a_url_where_nobody_listens_is_an_error(sink: Sink) -> None:
    with pytest.raises(DestinationError, match=r"^cannot PUT to http://127\.0\.0\.1:9"):
        ToHttp("http://127.0.0.1:9").put(source())


@pytest.mark.parametrize("pieces", [PIECES, LARGE], ids=["small", "in parts"])
def test_s3_gets_the_export_with_its_type(bucket: Any, s3_endpoint: str, pieces: list[bytes]) -> None:
    destination(f"s3://{bucket.name}/2026/usage.csv", s3_endpoint=s3_endpoint).put(source(pieces))
    stored = bucket.Object("2026/usage.csv").get()
    assert (stored["Body"].read() == b"".join(pieces), stored["ContentType"]) == (True, "text/csv")


@pytest.mark.parametrize("pieces", [PIECES, LARGE], ids=["small", "in parts"])
def test_an_export_that_breaks_off_leaves_neither_an_object_nor_parts(
    bucket: Any, s3_endpoint: str, pieces: list[bytes]
) -> None:
    with pytest.raises(BrokeOff):
        ToS3(bucket.name, "usage.csv", s3_endpoint).put(breaking_off(pieces))
    assert (list(bucket.objects.all()), list(bucket.multipart_uploads.all())) == ([], [])


def test_a_bucket_that_is_not_there_is_an_error_that_names_the_object(bucket: Any, s3_endpoint: str) -> None:
    with pytest.raises(DestinationError, match=r"cannot write s3://nowhere/usage\.csv: .*NoSuchBucket"):
        ToS3("nowhere", "usage.csv", s3_endpoint).put(source())


@pytest.mark.parametrize("to", ["s3://bucket", "s3:///key", "ftp://host/usage.csv"])
def test_a_url_that_names_no_destination_is_an_error(to: str) -> None:
    with pytest.raises(DestinationError):
        destination(to)
