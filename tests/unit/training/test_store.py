"""A corpus comes back as it was written; what is damaged is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kat_training.card import data_card
from kat_training.errors import CorpusError
from kat_training.sample import Sample
from kat_training.store import read_split, row_of, sample_of, write_corpus
from tests.fakes.training_samples import CHAIN, SUM

HELD_OUT = replace(CHAIN, split="held_out", accepted=("nineteen",), tests=("True",), dialogue="d")


def test_samples_come_back_by_split(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", [SUM, HELD_OUT], "card")
    assert [read_split(tmp_path / "corpus", split) for split in ("train", "held_out")] == [[SUM], [HELD_OUT]]


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_corpus(tmp_path / name, [SUM, HELD_OUT], "card")
    files = ("train.parquet", "held_out.parquet", "README.md")
    assert [(tmp_path / "one" / file).read_bytes() for file in files] == [
        (tmp_path / "two" / file).read_bytes() for file in files
    ]


def test_what_is_to_be_learnt_is_spelled_out_for_other_tools(tmp_path: Path) -> None:
    write_corpus(tmp_path, [SUM], "card")
    assert pq.read_table(tmp_path / "train.parquet")["completion"].to_pylist() == [SUM.completion]


def test_a_missing_corpus_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="kat train data make"):
        read_split(tmp_path, "train")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_split(tmp_path, "train")


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path, [SUM], "card")
    path = tmp_path / "train.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["completion"]), path)
    with pytest.raises(CorpusError, match="columns differ"):
        read_split(tmp_path, "train")


def test_a_completion_that_was_changed_is_refused() -> None:
    with pytest.raises(CorpusError, match="sum"):
        sample_of({**row_of(SUM), "answer": "13"}, Path("corpus"))


def test_a_row_that_is_no_sample_is_refused() -> None:
    with pytest.raises(CorpusError, match="no sample"):
        sample_of({"id": "x"}, Path("corpus"))


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="cannot be written"):
        write_corpus(tmp_path / "file" / "corpus", [SUM], "card")


@pytest.mark.parametrize(
    "expected", ["| off | 1 | 0 |", "| on | 0 | 1 |", "`bracket-en/0`", "| broken_tags | 3 |", "| calls | 9 |"]
)
def test_the_card_tells_what_is_in_what_was_dropped_and_what_it_cost(expected: str) -> None:
    samples: list[Sample] = [SUM, HELD_OUT]
    assert expected in data_card(samples, origin="By hand.", drops={"broken_tags": 3}, costs={"calls": 9})
