"""A corpus on disk: a folder with a Parquet file for each split and a data card. The same samples give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from kat.usage_event import Mode
from kat_training.errors import CorpusError
from kat_training.sample import Message, Sample, Split

SPLITS: Final[tuple[Split, ...]] = get_args(Split)
CARD: Final = "README.md"

_TEXT: Final = pa.string()
_TEXTS: Final = pa.list_(pa.string())
_MESSAGES: Final = pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))
_TYPES: Final[Mapping[str, Any]] = {"messages": _MESSAGES, "accepted": _TEXTS, "tests": _TEXTS}
SCHEMA: Final = pa.schema([
    *((field.name, _TYPES.get(field.name, _TEXT)) for field in fields(Sample)),
    # What to learn, spelled out for tools that know nothing of `Sample`.
    ("completion", _TEXT),
])  # fmt: skip


def write_corpus(folder: Path, samples: Sequence[Sample], card: str) -> None:
    """Write both splits and the card; a file that is there under its name is complete.

    Raises:
        CorpusError: The folder cannot be written; a full disk is one reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            rows = [row_of(sample) for sample in samples if sample.split == split]
            unfinished = folder / f".{split}.parquet.unfinished"
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), unfinished, compression="zstd")
            unfinished.rename(folder / f"{split}.parquet")
        (folder / CARD).write_text(card, encoding="utf-8")
    except OSError as error:
        raise CorpusError(f"the corpus cannot be written to {folder}: {error.strerror or error}") from error


def read_split(folder: Path, split: Split) -> list[Sample]:
    """The samples of a split.

    Raises:
        CorpusError: There is no such file, it is damaged, or it is no corpus of ours.
    """
    path = folder / f"{split}.parquet"
    try:
        # `pq.read_table` would load all of pyarrow's file systems for it.
        with path.open("rb") as file:
            table = pq.ParquetFile(file).read()
    except FileNotFoundError as error:
        raise CorpusError(f"there is no {path}; `kat train data make` makes one") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    if not table.schema.equals(SCHEMA):
        raise CorpusError(f"{path} is no corpus of this version: its columns differ")
    return [sample_of(row, path) for row in table.to_pylist()]


def row_of(sample: Sample) -> dict[str, Any]:
    """A sample as plain values, by the names of `SCHEMA`."""
    return {**asdict(sample), "completion": sample.completion}


def sample_of(row: Mapping[str, Any], source: Path) -> Sample:
    """The sample that a row was made of.

    Raises:
        CorpusError: The row is no sample, or its completion is not what its parts make; `source` is named.
    """
    try:
        values = {field.name: row[field.name] for field in fields(Sample)}
        sample = Sample(**{
            **values,
            "mode": Mode(values["mode"]),
            "messages": tuple(Message(**message) for message in values["messages"]),
            "accepted": tuple(values["accepted"]),
            "tests": tuple(values["tests"]),
        })  # fmt: skip
        whole = sample.completion == row["completion"]
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(f"{source} holds something that is no sample: {error}") from error
    if not whole:
        raise CorpusError(f"{source}: the completion of sample {sample.id} is not what its parts make")
    return sample
