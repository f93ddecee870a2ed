"""Research frames: replaced as a whole, same frame same bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.research_store import ParquetResearchStore
from trading_pipeline.domain.errors import DataFileError, MissingResultError
from trading_pipeline.ports import ResearchStore
from trading_pipeline_tests.bar_builders import AFTER, FULL_DAY, random_bars


def test_a_frame_is_read_back_and_replaced(tmp_path: Path) -> None:
    store: ResearchStore = ParquetResearchStore(tmp_path)
    first, second = random_bars(1, kept_fraction=0.1), random_bars(2, kept_fraction=0.1)

    store.write("indicators", AFTER, first)
    store.write("indicators", FULL_DAY, first)
    store.write("indicators", FULL_DAY, second)

    pd.testing.assert_frame_equal(store.read("indicators", FULL_DAY), second)
    assert store.sessions("indicators") == [FULL_DAY, AFTER]
    assert store.sessions("universe") == []


def test_the_same_frame_gives_the_same_bytes(tmp_path: Path) -> None:
    store, frame = ParquetResearchStore(tmp_path), random_bars(1, kept_fraction=0.1)
    path = tmp_path / "bars" / f"{FULL_DAY}.parquet"
    store.write("bars", FULL_DAY, frame)
    before = path.read_bytes()

    store.write("bars", FULL_DAY, frame.copy())

    assert path.read_bytes() == before


def test_a_frame_that_was_not_made_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MissingResultError, match=rf"no universe of {FULL_DAY}.*Materialise"):
        ParquetResearchStore(tmp_path).read("universe", FULL_DAY)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "universe").write_text("a file in the way")

    with pytest.raises(DataFileError, match=r"cannot write .*universe"):
        ParquetResearchStore(tmp_path).write("universe", FULL_DAY, random_bars(1, kept_fraction=0.1))
