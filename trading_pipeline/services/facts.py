"""Facts of symbols where nobody knows any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

from trading_pipeline.domain.risk import SymbolFacts


class NothingKnown:
    """Knows nothing, and says so: unknown sectors count as one, unknown earnings are told. Implements MarketFacts."""

    def facts(
        self,
        symbols: Iterable[str],
        held: Iterable[str],  # noqa: ARG002
        session: date,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> Mapping[str, SymbolFacts]:
        """Each symbol with nothing known of it."""
        return {symbol: SymbolFacts(symbol=symbol) for symbol in sorted(set(symbols))}

    def prepare(self, session: date) -> None:
        """Nothing to read."""

    def value_at_risk_usd(self, values_usd: Mapping[str, Decimal], session: date) -> Decimal | None:  # noqa: ARG002
        """Unknown."""
        return None
