"""What the account is worth at an instant, on record; and limits that the book has drifted above, told once a session.

Nothing is decided by it: entries meet the limits themselves, and what is held is not sold for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.drift import is_drifted, is_within, standing
from trading_pipeline.domain.fold import open_risk_usd
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.performance import EquityPoint
from trading_pipeline.domain.risk_book import Exposure, SymbolFacts
from trading_pipeline.domain.risk_usage import Usage
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.book import Holdings, exposures, read_holdings
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.modes.terms import under

DRIFTED, RETURNED = "limit_drifted", "limit_regained"


@dataclass(slots=True)
class Valuation:
    """One session's equity points and drifts. What was told already is read from the record after a start."""

    desk: Desk
    _told: dict[str, bool] | None = None
    _facts: dict[frozenset[str], Mapping[str, SymbolFacts]] = field(default_factory=dict)

    def put(self, tx: LedgerTransaction, record: SessionRecord, at: datetime) -> None:
        """Put the point on record, and tell what drifted above a limit or came back."""
        holdings = read_holdings(self.desk, tx, record)
        tx.add_equity_point(_point(holdings, record, at))
        if holdings.positions or self._is_anything_told(tx, record):
            self._watch(tx, record, holdings, at)

    def _is_anything_told(self, tx: LedgerTransaction, record: SessionRecord) -> bool:
        """By limit: True for one that drifted and has not come back."""
        if self._told is None:
            told = [one for one in tx.alerts(record.account, record.session) if one.kind in {DRIFTED, RETURNED}]
            self._told = {one.data["limit_name"]: one.kind == DRIFTED for one in told}
        return any(self._told.values())

    def _watch(self, tx: LedgerTransaction, record: SessionRecord, holdings: Holdings, at: datetime) -> None:
        self._is_anything_told(tx, record)
        assert self._told is not None
        held = exposures(holdings, tx.intents(record.account, record.session))
        limits = under(self.desk, tx, record.session, holdings.equity_usd).rules.risk
        for usage in standing(held, holdings.equity_usd, limits, self._facts_of(held, record, at)):
            if usage.name not in self._told and is_drifted(usage):
                self._tell(tx, record, usage, at, DRIFTED)
            elif self._told.get(usage.name) and is_within(usage):
                self._tell(tx, record, usage, at, RETURNED)

    def _facts_of(self, held: tuple[Exposure, ...], record: SessionRecord, at: datetime) -> Mapping[str, SymbolFacts]:
        """Known before the session, so looked up once for each set of symbols."""
        symbols = frozenset(one.symbol for one in held)
        if symbols not in self._facts:
            self._facts[symbols] = self.desk.facts.facts(sorted(symbols), (), record.session, at)
        return self._facts[symbols]

    def _tell(self, tx: LedgerTransaction, record: SessionRecord, usage: Usage, at: datetime, kind: str) -> None:
        assert self._told is not None
        self._told[usage.name] = kind == DRIFTED
        whose = f" of {usage.of}" if usage.of else ""
        numbers = f"{usage.name}{whose} is {usage.used:,.2f}, and {usage.limit:,.2f} is the limit"
        drifted = f"{numbers}: prices moved, or others traded. No entry adds to it, and nothing is sold for it"
        tx.raise_alert(
            alert(
                kind, usage.name, account=record.account, session=record.session, at=at,
                message=f"{drifted}. Told once a session" if kind == DRIFTED else f"back within: {numbers}",
                data={"limit_name": usage.name, "of": usage.of, "measured": plain(usage.used),
                      "limit": plain(usage.limit)},
            )
        )  # fmt: skip


def _point(holdings: Holdings, record: SessionRecord, at: datetime) -> EquityPoint:
    return EquityPoint(
        account=record.account, session=record.session, at=at, cash_usd=holdings.cash_usd,
        positions_usd=holdings.positions_usd, equity_usd=holdings.equity_usd,
        open_risk_usd=sum((open_risk_usd(p) for p in holdings.positions), ZERO), positions=len(holdings.positions),
    )  # fmt: skip
