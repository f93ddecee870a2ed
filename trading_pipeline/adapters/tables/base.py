"""What all tables share: how a Python type is stored, how constraints are named, how rows are numbered."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, Index, Integer, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from trading_pipeline.adapters.tables.types import (
    Breaks,
    Day,
    Derived,
    Details,
    Exact,
    Findings,
    Finite,
    Named,
    Strings,
    UtcInstant,
)
from trading_pipeline.domain.alerting import CircuitState, DeliveryState
from trading_pipeline.domain.audit import Why
from trading_pipeline.domain.control import AlertLevel, BlockKind, TradingState
from trading_pipeline.domain.corporate import CashKind
from trading_pipeline.domain.orders import ExecType, Leg, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.reconciliation import Break
from trading_pipeline.domain.risk import Finding
from trading_pipeline.domain.trading_session import SessionPhase

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

ENUMERATIONS = (
    Side, OrderType, TimeInForce, Leg, OrdStatus, ExecType, ExitReason, SessionPhase,
    AlertLevel, BlockKind, CashKind, TradingState, Why, CircuitState, DeliveryState,
)  # fmt: skip

Document = dict[str, Any]
Computed = Annotated[Decimal, "computed"]  # averages, ratios and results: any number of decimals


class Base(DeclarativeBase):
    """Columns carry the names of the record's fields, so that a row is the record."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        Decimal: Exact(),
        Computed: Derived(),
        datetime: UtcInstant(),
        date: Day(),
        float: Finite(),
        str: String(),
        Document: Details(),
        tuple[str, ...]: Strings(),
        tuple[Finding, ...]: Findings(),
        tuple[Break, ...]: Breaks(),
        **{names: Named(names) for names in ENUMERATIONS},
    }


class Recorded:
    """Rows numbered in the order they were recorded; it breaks ties between equal instants."""

    record_no: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True
    )


def only_one(name: str, *columns: str, where: str) -> Index:
    """A unique index over only the rows for which the condition is true, on both databases."""
    return Index(name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where))
