"""External signals from a CSV or JSON file, or from a table of any database SQLAlchemy reaches; only ever read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnClause, column, create_engine, select, table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from trading_pipeline.domain.errors import DataFileError, MissingResultError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.targets import SignalsError, SignalSet, signal_set

COLUMNS = ("symbol", "strength")
FORMATS = "Write CSV with the columns symbol,strength[,as_of], or JSON: an object of strengths, or a list of such rows."


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One row as delivered; as_of None: the rows are of whatever instant they are asked for."""

    as_of: datetime | None
    symbol: str
    strength: object


class StoredSignals:
    """Rows read once, served as the newest set known at an instant. Implements SignalProvider.

    Rows of one as_of make one set, so that a file may hold a history. `read` is called at the first question.
    """

    def __init__(self, name: str, read: Callable[[], Sequence[SignalRow]], *, max_rows: int) -> None:
        self.name = name
        self._read, self._max_rows = read, max_rows

    @cached_property
    def _sets(self) -> dict[datetime | None, list[SignalRow]]:
        """Rows by as_of."""
        found: dict[datetime | None, list[SignalRow]] = {}
        for row in self._read():
            found.setdefault(row.as_of, []).append(row)
        if None in found and len(found) > 1:
            raise SignalsError(f"{self.name}: {len(found[None])} rows have no as_of and others have: give it to all.")
        return found

    def signals(self, session: date, as_of: datetime) -> SignalSet:
        """The newest set of signals known at `as_of`; raises MissingResultError when there is none yet."""
        instants = [instant for instant in self._sets if instant is not None and instant <= require_aware(as_of)]
        chosen = max(instants, default=None)
        if chosen not in self._sets:
            raise MissingResultError(
                f"{self.name}: no signals as of {as_of.isoformat()} or earlier for session {session}; "
                f"{len(self._sets)} later ones are there."
            )
        rows = ((row.symbol, row.strength) for row in self._sets[chosen])
        return signal_set(self.name, chosen or as_of, rows, max_rows=self._max_rows, is_timed=chosen is not None)


def file_signals(path: Path, *, max_rows: int) -> StoredSignals:
    """Signals of a .json or .csv file. Reading raises DataFileError, or SignalsError for a row of no use."""
    return StoredSignals("signal_file", lambda: _file_rows(path), max_rows=max_rows)


def table_signals(url: str, name: str, *, max_rows: int) -> StoredSignals:
    """Signals of a database table with columns as_of, symbol, strength. Reading raises DataFileError."""
    return StoredSignals("signal_table", lambda: _table_rows(url, name), max_rows=max_rows)


def _file_rows(path: Path) -> list[SignalRow]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        records = _json_records(text) if path.suffix.lower() == ".json" else _csv_records(text, path)
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror}. Check the path and its permissions.") from error
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise DataFileError(
            f"{path} cannot be read as signals: {error}. See: trading-pipeline execute --help"
        ) from error
    if not records:
        raise DataFileError(f"{path} holds no signals. {FORMATS}")
    return _rows(records, str(path))


def _csv_records(text: str, path: Path) -> Sequence[Mapping[str, object]]:
    """Rows by column; a column given twice or a cell too many is refused: a strength written 0,5 would read as 0."""
    reader = csv.DictReader(text.splitlines())
    names = list(reader.fieldnames or ())
    if len(set(names)) < len(names):
        raise DataFileError(f"{path}: a column is given twice: {', '.join(names)}. {FORMATS}")
    records = list(reader)
    wide = [number for number, record in enumerate(records, start=1) if None in record]
    if wide:
        raise DataFileError(
            f"{path}: {len(wide)} of {len(records)} rows have more cells than the {len(names)} columns, the first is "
            f"row {wide[0]}. Write decimals with a point: 0.5"
        )
    return records


def _json_records(text: str) -> Sequence[Mapping[str, object]]:
    """A list of rows, or one object of strengths by symbol (a symbol given twice stays twice)."""
    found = json.loads(text, object_pairs_hook=_Pairs, parse_constant=float)
    if isinstance(found, _Pairs):
        return [{"symbol": symbol, "strength": strength} for symbol, strength in found]
    if not isinstance(found, list) or not all(isinstance(one, _Pairs) for one in found):
        raise DataFileError(f"signals are neither an object nor a list of objects. {FORMATS}")
    return [dict(one) for one in found]


class _Pairs(list[tuple[str, object]]):
    """A JSON object that keeps a name given twice."""


def _table_rows(url: str, name: str) -> list[SignalRow]:
    columns: list[ColumnClause[Any]] = [column("as_of"), column("symbol"), column("strength")]
    try:
        target = make_url(url)
        if target.get_backend_name() == "sqlite" and not Path(target.database or "").is_file():
            raise DataFileError(f"there is no SQLite file {target.database}: check external_signals.database_url.")
        engine = create_engine(target)
        with engine.connect() as connection:
            found = connection.execute(select(*columns).select_from(table(name, *columns))).mappings().all()
    except ModuleNotFoundError as error:
        raise DataFileError(f"the database driver {error.name} is not installed: install it.") from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__)
        raise DataFileError(f"table {name} of signals cannot be read: {reason}. Check external_signals.*") from error
    return _rows([dict(row) for row in found], f"table {name}")


def _rows(records: Iterable[Mapping[str, object]], where: str) -> list[SignalRow]:
    found = []
    for number, record in enumerate(records, start=1):
        if any(record.get(name) in (None, "") for name in COLUMNS):
            raise DataFileError(f"{where}, row {number} lacks symbol or strength: {dict(record)}. {FORMATS}")
        as_of = _instant(record.get("as_of"), where, number)
        found.append(SignalRow(as_of, str(record["symbol"]), record["strength"]))
    return found


def _instant(value: object, where: str, number: int) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise DataFileError(f"{where}, row {number}: as_of {value!r} is no instant: 2025-06-10T14:30:00Z") from error
    if instant.tzinfo is None:
        raise DataFileError(f"{where}, row {number}: as_of {value!s} has no time zone: write 2025-06-10T14:30:00Z")
    return instant.astimezone(UTC)
