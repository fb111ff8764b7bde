"""Where an export is put: a file, an HTTP URL or S3-compatible storage. A partial export is never left under its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, Protocol, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

_HTTP_TIMEOUT: Final = httpx.Timeout(600, connect=10)
_S3_PART_BYTES: Final = 16 * 1024 * 1024
"""S3 takes up to 10,000 parts, so up to 160 GB; one at a time is held in memory."""


class DestinationError(Exception):
    """The export could not be put there; nothing is left under its name."""


@dataclass(frozen=True, slots=True)
class Source:
    """An export on its way. `pieces` raises where it breaks off."""

    pieces: Iterable[bytes]
    size: int
    """In bytes."""
    media_type: str


class Destination(Protocol):
    """A place to put an export."""

    def put(self, source: Source) -> None:
        """All of it, or nothing. Raises DestinationError; what `source.pieces` raises comes through."""


@dataclass(frozen=True, slots=True)
class ToFile:
    """A file, which gets its name once it is complete."""

    path: Path

    def put(self, source: Source) -> None:
        # Beside the file, since a name is changed at once only within a file system; two exports do not share it.
        part = self.path.with_name(f".{self.path.name}.{uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                file.writelines(source.pieces)
            part.replace(self.path)
        except OSError as error:
            raise DestinationError(f"cannot write {self.path}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ToHttp:
    """A URL that takes the whole export in one PUT or POST. Its length is announced, so a part of it is refused there."""

    url: str
    method: Literal["PUT", "POST"] = "PUT"
    token: str | None = None
    """A bearer token. A signed URL needs none."""

    def put(self, source: Source) -> None:
        headers = {"Content-Type": source.media_type, "Content-Length": str(source.size)}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        where = _without_query(self.url)
        with _own_errors_of(source) as pieces:
            try:
                answer = httpx.request(self.method, self.url, content=pieces, headers=headers, timeout=_HTTP_TIMEOUT)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise DestinationError(f"cannot {self.method} to {where}: {error}") from error
        if not answer.is_success:
            # A redirect too: it would have to be sent again, and the pieces come once.
            raise DestinationError(f"{where} answered {self.method} with {answer.status_code} {answer.reason_phrase}")


@dataclass(frozen=True, slots=True)
class ToS3:
    """An object of S3-compatible storage. Credentials come from where every AWS client looks for them."""

    bucket: str
    key: str
    endpoint: str | None = None
    """None: AWS itself."""
    region: str | None = None
    """None: where every AWS client looks for it."""

    def put(self, source: Source) -> None:
        # Loaded here: it takes longer than most commands do.
        import boto3  # noqa: PLC0415
        from boto3.exceptions import Boto3Error  # noqa: PLC0415
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        config = Config(
            # Other servers than Amazon's seldom have a host name for each bucket, or know its newer checksums.
            s3={"addressing_style": "path" if self.endpoint else "auto"},
            request_checksum_calculation="when_required",
        )
        # With threads it would read ten parts ahead.
        transfer = TransferConfig(
            multipart_threshold=_S3_PART_BYTES, multipart_chunksize=_S3_PART_BYTES, use_threads=False
        )
        with _own_errors_of(source) as pieces:
            try:
                client = boto3.client("s3", region_name=self.region, endpoint_url=self.endpoint, config=config)
                # Where reading breaks off it aborts the upload: parts that were sent are dropped, no object appears.
                client.upload_fileobj(
                    cast("IO[bytes]", _Readable(pieces)),
                    self.bucket,
                    self.key,
                    ExtraArgs={"ContentType": source.media_type},
                    Config=transfer,
                )
            except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
                raise DestinationError(f"cannot write s3://{self.bucket}/{self.key}: {error}") from error


def destination(
    to: str,
    *,
    method: Literal["PUT", "POST"] = "PUT",
    token: str | None = None,
    s3_endpoint: str | None = None,
    s3_region: str | None = None,
) -> Destination:
    """The destination that a path, an http(s):// or an s3:// URL names. Raises DestinationError."""
    parts = urlsplit(to)
    if parts.scheme in {"http", "https"}:
        return ToHttp(to, method, token)
    if parts.scheme == "s3":
        key = parts.path.lstrip("/")
        if not parts.netloc or not key:
            raise DestinationError(f"{to} does not name an object: s3://bucket/key")
        return ToS3(parts.netloc, key, s3_endpoint, s3_region)
    if "://" in to:
        raise DestinationError(f"cannot write to {parts.scheme}://: a path, http://, https:// or s3://")
    return ToFile(Path(to))


class _SourceBrokeOff(Exception):
    """Carries an error of the source through libraries that would take it for one of the destination's."""


@contextmanager
def _own_errors_of(source: Source) -> Iterator[Iterator[bytes]]:
    """The pieces; an error in making them leaves the block as what it was."""
    broke: list[Exception] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield from source.pieces
        except Exception as error:
            broke.append(error)
            raise _SourceBrokeOff from error

    try:
        yield pieces()
    except Exception:
        if broke:
            raise broke[0] from None
        raise


class _Readable:
    """Pieces as a file to read from, once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        taken = [self._left]
        held = len(self._left)
        while size < 0 or held < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            taken.append(piece)
            held += len(piece)
        content = b"".join(taken)
        end = len(content) if size < 0 else size
        self._left = content[end:]
        return content[:end]


def _without_query(url: str) -> str:
    """A signed URL carries its secret there."""
    return urlsplit(url)._replace(query="").geturl()
