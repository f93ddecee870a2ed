"""Parts of a view: roll-ups that keep their adjustment, which source wins, and a cache of past sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import pandas as pd

from trading_pipeline.adapters.bar_files import OWNER, by_session
from trading_pipeline.analytics.bars import adjust, roll_up
from trading_pipeline.analytics.schemas import BAR_COLUMNS
from trading_pipeline.domain.market import Adjustment, Timeframe

BASIS = ["adjustment", "adjusted_through"]
Token = tuple[tuple[int, int, int], ...]
"""What the files behind a roll-up looked like: inode, size and modification time of each."""


@dataclass(frozen=True, slots=True)
class RolledSession:
    """All derived bars of one session, and when the last row behind them became known."""

    token: Token
    rows: pd.DataFrame
    latest_known_at: pd.Timestamp


class RollUpCache:
    """Roll-ups of sessions in memory. When there are too many rows, the least recently used of the finest go first.

    Fine bars are most of the rows and are read of few sessions; a scan reads coarse ones of every session. Forgetting
    by last use alone would drop what the next view of the same scan needs, and read the base bars again each time.
    """

    def __init__(self, max_rows: int = 3_000_000) -> None:
        self._max_rows, self._rows = max_rows, 0
        self._entries: OrderedDict[tuple[Timeframe, Timeframe, date], RolledSession] = OrderedDict()

    def get(self, source: Timeframe, target: Timeframe, session: date, token: Token) -> RolledSession | None:
        """The entry when the files behind it have not changed."""
        entry = self._entries.get((source, target, session))
        if entry is None or entry.token != token:
            return None
        self._entries.move_to_end((source, target, session))
        return entry

    def remember(self, source: Timeframe, target: Timeframe, entries: Mapping[date, RolledSession]) -> None:
        """Keep the sessions; forgets others when there is too much."""
        for session, entry in entries.items():
            self._put(source, target, session, entry)

    def _put(self, source: Timeframe, target: Timeframe, session: date, entry: RolledSession) -> None:
        previous = self._entries.pop((source, target, session), None)
        self._rows += len(entry.rows) - (0 if previous is None else len(previous.rows))
        self._entries[source, target, session] = entry
        while self._rows > self._max_rows and len(self._entries) > 1:
            finest = min(self._entries, key=lambda entry: entry[1].minutes)  # the first of equals: least recently used
            self._rows -= len(self._entries.pop(finest).rows)


@lru_cache(maxsize=1)
def cache_of(_root: Path) -> RollUpCache:
    """The process's cache of the store in a folder: each step of a run opens the store anew, on the same files."""
    return RollUpCache()


def blocks_of(tokens: Mapping[date, Token], max_bytes: int = 32_000_000) -> Iterator[list[date]]:
    """Sessions in blocks of files that fit into memory together, whatever the number of symbols."""
    block: list[date] = []
    size = 0
    for session, token in tokens.items():
        if block and size + token[0][1] > max_bytes:
            yield block
            block, size = [], 0
        block.append(session)
        size += token[0][1]
    if block:
        yield block


def roll_up_stored(
    rows: pd.DataFrame, timeframe: Timeframe, table: pd.DataFrame, actions: pd.DataFrame
) -> pd.DataFrame:
    """Derived bars of stored rows, each with the adjustment of the rows it is made of.

    A symbol's session delivered partly raw and partly adjusted is put back to traded units first.
    """
    owners = rows[[*OWNER, *BASIS]].drop_duplicates()
    mixed = owners.duplicated(OWNER, keep=False)
    if mixed.any():
        rows = _as_traded(rows, owners.loc[mixed, OWNER].drop_duplicates(), actions)
        owners = rows[[*OWNER, *BASIS]].drop_duplicates()
    rolled = roll_up(rows, timeframe, table)
    basis = owners[BASIS].drop_duplicates()
    if len(basis) == 1:
        return rolled.assign(**{name: basis[name].iloc[0] for name in BASIS}).astype({"adjusted_through": "M8[ns]"})
    return rolled.merge(owners, on=OWNER, how="left")


def _as_traded(rows: pd.DataFrame, mixed: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    in_mixed = (rows[OWNER].merge(mixed, on=OWNER, how="left", indicator=True)["_merge"] == "both").to_numpy()
    traded = [
        adjust(part.reset_index(drop=True), actions, day).assign(
            adjustment=Adjustment.RAW.value, adjusted_through=pd.Series(pd.NaT, index=range(len(part)), dtype="M8[ns]")
        )
        for day, part in by_session(rows[in_mixed]).items()
    ]
    return pd.concat([rows[~in_mixed], *traded]).sort_values(["symbol", "start"], ignore_index=True)


def prefer_first(candidates: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One source per symbol and session: the first that has any row; sorted by symbol, start."""
    chosen: list[pd.DataFrame] = []
    for frame in (one for one in candidates if len(one)):
        chosen.append(not_in(frame, chosen) if chosen else frame)
    if not chosen:
        return candidates[0]
    return chosen[0] if len(chosen) == 1 else pd.concat(chosen).sort_values(["symbol", "start"], ignore_index=True)


def not_in(frame: pd.DataFrame, chosen: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows whose symbol and session none of the chosen frames has."""
    taken = pd.concat([one[OWNER].drop_duplicates() for one in chosen])
    return frame[frame[OWNER].merge(taken, on=OWNER, how="left", indicator=True)["_merge"].eq("left_only").to_numpy()]


def in_units_of(rows: pd.DataFrame, actions: pd.DataFrame, as_of: date, known_at: pd.Timestamp | None) -> pd.DataFrame:
    """The bar columns of stored rows, adjusted to session `as_of`."""
    adjusted = adjust(rows, actions, as_of, known_at=known_at) if len(rows) and len(actions) else rows
    return adjusted[list(BAR_COLUMNS)].reset_index(drop=True)
