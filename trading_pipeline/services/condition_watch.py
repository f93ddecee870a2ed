"""Conditions while a session runs: measured by its loop, on record as they begin and end, repeated from there.

A replay cannot see how fast a venue answered or what time it was elsewhere: it does again what is on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.breaker_rules import CONDITIONS, BreakerRules, Trigger
from trading_pipeline.domain.conditions import Conditions, Measurement, Standing, after, portfolio_correlation
from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.breaker import BEGAN, ENDED
from trading_pipeline.services.care.asking import Quotes
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.modes.terms import under
from trading_pipeline.services.preconditions import measure_skew

SKEW_EVERY, LONGEST_WAIT = timedelta(seconds=30), timedelta(seconds=1)
"""How often the venue is asked what time it is, and how long its answer may take to tell anything."""
WORDS = {
    Trigger.STALE_DATA: "the newest price is {value:.0f} s older than a bar (above {limit:g} s)",
    Trigger.LATENCY: "95 % of the venue's answers took up to {value:.2f} s (above {limit:g} s)",
    Trigger.VENUE_SILENT: "the venue did not answer {value:.0f} times in a row (above {limit:g})",
    Trigger.CLOCK_SKEW: "our clock and others' are {value:.1f} s apart (above {limit:g} s)",
    Trigger.CORRELATION: "the pairs held have a mean correlation of {value:.2f} (above {limit:g})",
}


@dataclass(slots=True)
class ConditionWatch:
    """Folds what is measured; what began and ended goes on record with its block in one transaction."""

    desk: Desk
    times: SessionTimes
    _state: Conditions | None = None
    _asked_at: datetime | None = None
    _rules: BreakerRules = field(init=False)
    _pairs: dict[frozenset[str], dict[tuple[str, str], float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rules = self.desk.rules.breaker

    def _in_force(self) -> BreakerRules:
        """Tightened while the account's mode is watched."""
        with self.desk.ledger.read() as tx:
            return under(self.desk, tx, self.times.session).rules.breaker

    def measure(self, quotes: Quotes, unheard: int, *, is_live: bool) -> bool:
        """Take one look. is_live: prices come as they are made, so that their age says something.

        True when a condition began that closes positions.
        """
        now, before = self.desk.clock.now(), self._known()
        measured = tuple(self._measured(now, quotes, unheard, is_live=is_live))
        self._rules = self._in_force()
        self._state = after(before, now, measured, self._rules)
        return self._tell(before, self._state, now)

    def note_silence(self, unheard: int) -> bool:
        """The venue left one more question without an answer."""
        now, before = self.desk.clock.now(), self._known()
        silent = Measurement(Trigger.VENUE_SILENT, now, float(unheard))
        self._state = after(before, now, (silent,), self._rules)
        return self._tell(before, self._state, now)

    def _known(self) -> Conditions:
        """The state, after a start as the record has it: nothing of it has been clean since."""
        if self._state is None:
            with self.desk.ledger.read() as tx:
                standing = {trigger_of(block): block for block in standing_blocks(tx, self.desk.account)}
            known = {t: Standing(standing[t].since, 0.0) for t in CONDITIONS if t in standing}
            self._state = Conditions(standing=known)
        return self._state

    def _measured(self, now: datetime, quotes: Quotes, unheard: int, *, is_live: bool) -> Iterator[Measurement]:
        yield Measurement(Trigger.VENUE_SILENT, now, float(unheard))
        for seconds in self.desk.answers():
            yield Measurement(Trigger.LATENCY, now, seconds)
        skew = self._skew(now) if is_live else None
        if skew is not None:
            yield Measurement(Trigger.CLOCK_SKEW, now, skew)
        with self.desk.ledger.read() as tx:
            held = tx.positions(self.desk.account)
            ordered = {order.symbol for order in tx.open_orders(self.desk.account)} if is_live else set()
        if is_live:
            yield Measurement(Trigger.STALE_DATA, now, self._age(now, quotes, ordered | {p.symbol for p in held}))
        yield Measurement(Trigger.CORRELATION, now, self._correlation(now, held))

    def _skew(self, now: datetime) -> float | None:
        """Seconds between the machine's clock and the venue's, asked now and then; None when nobody can tell.

        An answer that took long tells nothing.
        """
        desk, asked_at = self.desk, self._asked_at
        if desk.venue_now is None or desk.latch is None or (asked_at and now - asked_at < SKEW_EVERY):
            return None
        self._asked_at = now
        try:
            skew = measure_skew(desk.venue_now, desk.latch.clock)
        except OutcomeUnknown:
            return None
        return None if 2 * skew.within > LONGEST_WAIT else abs(skew.by.total_seconds())

    def _age(self, now: datetime, quotes: Quotes, symbols: set[str]) -> float:
        """Seconds beyond one base bar since the newest price of what is held or ordered; 0 where there is none."""
        known = [quotes[symbol].quoted_at for symbol in sorted(symbols) if symbol in quotes]
        if not known:
            return 0.0
        bar = timedelta(minutes=self.desk.base_bar_minutes)
        return max((now - max(known) - bar).total_seconds(), 0.0)

    def _correlation(self, now: datetime, held: Sequence[Position]) -> float:
        if len(held) < 2:
            return 0.0
        values = {position.symbol: position.quantity * (position.mark or position.avg_px) for position in held}
        return portfolio_correlation(values, self._rhos(now, values)) or 0.0

    def _rhos(self, now: datetime, values: dict[str, Decimal]) -> dict[tuple[str, str], float]:
        """ρ of every pair held: of daily returns before the session, so looked up once for each set of symbols."""
        symbols = frozenset(values)
        if symbols not in self._pairs:
            facts = self.desk.facts.facts(sorted(symbols), sorted(symbols), self.times.session, now)
            self._pairs[symbols] = {
                (one, other): float(rho)
                for one in sorted(symbols)
                for other, rho in facts[one].correlations.items()
                if one < other
            }
        return self._pairs[symbols]

    def _tell(self, before: Conditions, state: Conditions, now: datetime) -> bool:
        began = [trigger for trigger in CONDITIONS if trigger in state.standing and trigger not in before.standing]
        ended = [trigger for trigger in CONDITIONS if trigger in before.standing and trigger not in state.standing]
        if not began and not ended:
            return False
        with self.desk.ledger.transaction() as tx:
            for trigger in began:
                begin(tx, self._began(trigger, state.standing[trigger], now))
            for block in standing_blocks(tx, self.desk.account) if ended else ():
                if trigger_of(block) in ended:
                    end(tx, self._ended(block, now))
        return any(self._rules.of(trigger).flattens for trigger in began)

    def _began(self, trigger: Trigger, one: Standing, now: datetime) -> RiskEvent:
        limit = self._rules.of(trigger).threshold
        words = WORDS[trigger].format(value=one.value, limit=limit)
        block_id = f"{trigger.value}-{self.desk.account}-{now.isoformat()}"
        return self._event(
            BEGAN, block_id, now, severity="ERROR", message=f"{words}: no entry leaves while this lasts",
            trigger=trigger.value, measured=f"{one.value:.6g}", limit=f"{limit:g}", reason=words,
        )  # fmt: skip

    def _ended(self, block: Block, now: datetime) -> RiskEvent:
        words = f"{trigger_of(block).value} is over since {self.desk.rules.breaker.clean_seconds} s: entries may leave"
        return self._event(
            ENDED, block.block_id, now, severity="INFO", message=words, trigger=trigger_of(block).value
        )  # fmt: skip

    def _event(self, kind: str, block_id: str, now: datetime, *, severity: str, message: str, **data: str) -> RiskEvent:
        return RiskEvent(
            event_id=f"{kind}-{block_id}", account=self.desk.account, session=self.times.session, occurred_at=now,
            kind=kind, severity=severity, message=message, data={"block_id": block_id, **data},
        )  # fmt: skip


def trigger_of(block: Block) -> Trigger:
    """What put up a block of the breaker."""
    return Trigger(block.block_id.split("-")[0])


def standing_blocks(tx: LedgerTransaction, account: str) -> list[Block]:
    """Blocks of conditions, in force."""
    found = [block for block in tx.blocks(account) if block.kind is BlockKind.BREAKER]
    return [block for block in found if trigger_of(block) in CONDITIONS]


def begin(tx: LedgerTransaction, event: RiskEvent) -> None:
    """Put a condition on record and its block in force; doing it again changes nothing."""
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)
        tx.add_block(
            Block(
                block_id=event.data["block_id"], account=event.account, symbol="", kind=BlockKind.BREAKER,
                reason=event.data["reason"], since=event.occurred_at,
            )
        )  # fmt: skip


def end(tx: LedgerTransaction, event: RiskEvent) -> None:
    """Lift a condition's block, and say so."""
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)
    tx.clear_block(event.data["block_id"], event.occurred_at, "breaker")
