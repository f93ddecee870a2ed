"""The venue's own SQLite file: one transaction per call, so that a kill leaves the state before or after it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.dialects.sqlite import insert

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import DataFileError, HomeInUseError, SettingsError
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.state import Changes, Holding, Mark, VenueState
from trading_pipeline.venue.tickets import Ticket

METADATA = sa.MetaData()
ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("cash_usd", sa.String(40), nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
# Rows are whole documents: nobody but this module reads them, and it reads them all, at start.
TICKETS = sa.Table(
    "tickets",
    METADATA,
    sa.Column("client_order_id", sa.String, primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False, unique=True),
    sa.Column("document", sa.JSON, nullable=False),
)
REPORTS = sa.Table(
    "reports",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("exec_id", sa.String, nullable=False, unique=True),
    sa.Column("document", sa.JSON, nullable=False),
)
HOLDINGS = sa.Table(
    "holdings",
    METADATA,
    sa.Column("symbol", sa.String, primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
)
MARKS = sa.Table(
    "marks",
    METADATA,
    sa.Column("symbol", sa.String, primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
)
ACTIVITIES = sa.Table(
    "activities",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("activity_id", sa.String, nullable=False, unique=True),
    sa.Column("document", sa.JSON, nullable=False),
)
FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
)

_TICKET, _REPORT = TypeAdapter(Ticket), TypeAdapter(ExecutionReport)
_HOLDING, _MARK, _ACTIVITY = TypeAdapter(Holding), TypeAdapter(Mark), TypeAdapter(CashActivity)


class VenueFile:
    """Loads and saves VenueState. One process at a time: a second writer is noticed and refused."""

    def __init__(self, path: Path, rules: VenueRules) -> None:
        self.path, self.rules = path, rules
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
        sa.event.listen(self._engine, "connect", _make_durable)

    def load(self) -> VenueState:
        """The stored state, or a new account with the rules' cash.

        Raises DataFileError when the file is not a venue's, SettingsError when it belongs to another account.
        """
        try:
            METADATA.create_all(self._engine)
            with self._engine.begin() as connection:
                return self._read(connection, self._account(connection))
        except sa.exc.OperationalError as error:  # the disk, not what stands on it
            raise DataFileError(
                f"the simulated venue's state {self.path} cannot be read ({error.orig}). Look at the disk's free space "
                "and the file's permissions, then run the command again; the file stays as it is"
            ) from error
        except sa.exc.DatabaseError as error:
            raise DataFileError(
                f"the simulated venue's state {self.path} cannot be read ({error.orig}). "
                "Restore it from a backup, or move it away to open a new account"
            ) from error

    def save(self, changes: Changes) -> None:
        """Write what one call changed, all or nothing; raises HomeInUseError when another process wrote meanwhile."""
        state = changes.state
        with self._engine.begin() as connection:
            self._advance(connection, changes)
            _put(connection, TICKETS, (_ticket_row(ticket) for ticket in changes.tickets.maps[0].values()))
            _put(connection, HOLDINGS, (_row(_HOLDING, held) for held in changes.holdings.maps[0].values()))
            _put(connection, MARKS, (_row(_MARK, mark) for mark in changes.marks.maps[0].values()))
            _put(connection, FACTS, ({"name": name, "document": fact} for name, fact in changes.facts.maps[0].items()))
            _put(connection, REPORTS, map(_report_row, count(len(state.reports)), changes.reports))
            _put(connection, ACTIVITIES, map(_activity_row, count(len(state.activities)), changes.activities))

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    def _account(self, connection: sa.Connection) -> sa.RowMapping:
        row = connection.execute(sa.select(ACCOUNT)).mappings().first()
        if row is None:
            opening = {"account": self.rules.account, "cash_usd": str(self.rules.initial_cash_usd)}
            connection.execute(sa.insert(ACCOUNT).values(**opening, sequence=0, version=0))
            row = connection.execute(sa.select(ACCOUNT)).mappings().one()
        if row["account"] != self.rules.account:
            raise SettingsError(
                f"{self.path} holds the account {row['account']}, the settings name {self.rules.account}. "
                "Use the home folder of that account, or a new one"
            )
        return row

    def _read(self, connection: sa.Connection, account: sa.RowMapping) -> VenueState:
        tickets = [_TICKET.validate_python(d) for d in _documents(connection, TICKETS, TICKETS.c.sequence)]
        holdings = [_HOLDING.validate_python(d) for d in _documents(connection, HOLDINGS, HOLDINGS.c.symbol)]
        marks = [_MARK.validate_python(d) for d in _documents(connection, MARKS, MARKS.c.symbol)]
        return VenueState(
            cash_usd=Decimal(account["cash_usd"]),
            version=account["version"],
            sequence=account["sequence"],
            tickets={ticket.client_order_id: ticket for ticket in tickets},
            holdings={holding.symbol: holding for holding in holdings},
            marks={mark.symbol: mark for mark in marks},
            reports=[_REPORT.validate_python(d) for d in _documents(connection, REPORTS, REPORTS.c.number)],
            activities=[_ACTIVITY.validate_python(d) for d in _documents(connection, ACTIVITIES, ACTIVITIES.c.number)],
            facts={row.name: row.document for row in connection.execute(sa.select(FACTS))},
            working={ticket.client_order_id for ticket in tickets if ticket.is_open},
        )

    def _advance(self, connection: sa.Connection, changes: Changes) -> None:
        """Compare-and-set on the version: the state in memory is only true while we are the only writer."""
        version = changes.state.version
        mine = sa.and_(ACCOUNT.c.account == self.rules.account, ACCOUNT.c.version == version)
        values = {"cash_usd": str(changes.cash_usd), "sequence": changes.sequence, "version": version + 1}
        if connection.execute(sa.update(ACCOUNT).where(mine).values(**values)).rowcount != 1:
            raise HomeInUseError(
                f"another process changed the simulated venue's state {self.path}; nothing was changed here. "
                "Stop one of the two and start again"
            )


def _make_durable(connection: sqlite3.Connection, _record: object) -> None:
    """A committed call survives kill -9 and power loss. Connection settings; SQLAlchemy has no other way to say it."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _put(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    values = list(rows)
    if not values:
        return
    statement = insert(table)
    key = list(table.primary_key)
    connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_={"document": statement.excluded.document}), values
    )


def _documents(connection: sa.Connection, table: sa.Table, order: sa.ColumnElement[Any]) -> list[Any]:
    return list(connection.execute(sa.select(table.c.document).order_by(order)).scalars())


def _row(adapter: TypeAdapter[Any], item: Holding | Mark) -> dict[str, Any]:
    return {"symbol": item.symbol, "document": adapter.dump_python(item, mode="json")}


def _ticket_row(ticket: Ticket) -> dict[str, Any]:
    document = _TICKET.dump_python(ticket, mode="json")
    return {"client_order_id": ticket.client_order_id, "sequence": ticket.sequence, "document": document}


def _report_row(number: int, report: ExecutionReport) -> dict[str, Any]:
    return {"number": number, "exec_id": report.exec_id, "document": _REPORT.dump_python(report, mode="json")}


def _activity_row(number: int, activity: CashActivity) -> dict[str, Any]:
    document = _ACTIVITY.dump_python(activity, mode="json")
    return {"number": number, "activity_id": activity.activity_id, "document": document}
