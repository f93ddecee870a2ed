"""Frames derived from bars, in Parquet: one file per name and session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trading_pipeline.adapters.bar_files import read_parquet, write_atomically
from trading_pipeline.domain.errors import MissingResultError


class ParquetResearchStore:
    """Implements ResearchStore below one folder; the same frame always gives the same bytes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, session: date, frame: pd.DataFrame) -> None:
        """Replace the session's frame (its index is not kept); raises DataFileError when the disk refuses."""
        write_atomically(self._path(name, session), pa.Table.from_pandas(frame, preserve_index=False))

    def read(self, name: str, session: date) -> pd.DataFrame:
        """The session's frame; raises MissingResultError when it was not made, DataFileError when it is damaged."""
        path = self._path(name, session)
        if not path.exists():
            raise MissingResultError(
                f"no {name} of {session} has been made ({path} is absent). "
                f"Materialise the asset {name} for partition {session} in Dagster, or run the whole session: "
                f"trading-pipeline session replay --session {session}"
            )
        frame: pd.DataFrame = read_parquet(path).to_pandas()
        return frame

    def row_count(self, name: str, session: date) -> int | None:
        """Rows of the session's frame, without reading them; None when it was not made."""
        path = self._path(name, session)
        return int(pq.read_metadata(path).num_rows) if path.exists() else None

    def sessions(self, name: str) -> Sequence[date]:
        """Sessions for which the frame exists, ascending."""
        return sorted(date.fromisoformat(path.stem) for path in (self.root / name).glob("????-??-??.parquet"))

    def _path(self, name: str, session: date) -> Path:
        return self.root / name / f"{session.isoformat()}.parquet"
