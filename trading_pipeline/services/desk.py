"""What every trading use case works with: one account, its rules, its record, its venue, its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.modes import ModeRules
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot
from trading_pipeline.ports import Broker, Clock, Ledger, LedgerTransaction, MarketFacts, NewsBell, ResearchStore
from trading_pipeline.services.border import Border
from trading_pipeline.services.facts import NothingKnown
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.lease import HeldLease
from trading_pipeline.settings import ExecutionSettings

MODES = ModeRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which code and configuration decided, in which run."""

    code_version: str
    config_hash: str
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One account of one strategy at one venue."""

    ledger: Ledger
    broker: Broker
    clock: Clock
    rules: ExecutionSettings
    provenance: Provenance
    base_bar_minutes: int = 0
    any_research: bool = False
    """True in a room whose ledger holds only the research it is to decide on, whoever made it."""
    lease: HeldLease | None = None
    """The right to lead, checked right before each order leaves; None in a room that nobody else can enter."""
    border: Border | None = None
    """The broker's border, which paces and counts; None where nothing is to be paced or counted."""
    latch: Latch | None = None
    """What blocks without a database, looked at right before each order leaves; None in a room that leaves no trace."""
    facts: MarketFacts = field(default_factory=NothingKnown)
    """Sectors, earnings and correlations for the risk checks; by default nothing is known."""
    trigger: Timeframe = Timeframe.MIN15
    confirmation: Timeframe = Timeframe.HOUR1
    frames: ResearchStore | None = None
    """Indicators that exits may look at; None: no such exit happens."""
    elapsed: Callable[[], float] = lambda: 0.0
    """Seconds since any one instant, also while `clock` stands still; by default work takes no time."""
    answers: Callable[[], Sequence[float]] = tuple
    """Seconds the venue took for each answer since this was last asked; nothing where time costs nothing."""
    connections: Callable[[], int] = lambda: 0
    """How often the venue was connected to so far: after each time, record and venue are compared before entries."""

    news: NewsBell | None = None
    """Rung when the venue may have something new; None where nothing happens but in the loop's own steps."""
    venue_now: Callable[[], datetime] | None = None
    """The venue's own clock (aware UTC; raises OutcomeUnknown); None where it has none but ours."""
    modes: ModeRules = MODES
    """What holds right after a mode was entered."""
    approval_hash: str = ""
    """What approvals of the account's mode are bound to; empty: the configuration's hash."""
    venue_account: str = ""
    """The venue's own number of the account, as it told it; empty where it has none."""
    stop_requested: Callable[[], bool] = lambda: False
    """True once this process was asked to end: no further entry leaves."""

    def give_sign(self) -> None:
        """This process lives and works: only then is its lease renewed."""
        if self.lease is not None:
            self.lease.give_sign()

    def snapshots(self, tx: LedgerTransaction, session: date) -> Sequence[ScanSnapshot]:
        """Watchlists of the session made by the desk's own code and configuration, ascending by as_of."""
        return snapshots_of(None if self.any_research else self.provenance, tx, session)

    def regimes(self, tx: LedgerTransaction, session: date) -> Sequence[RegimeSnapshot]:
        """Regimes of the session made by the desk's own code and configuration, ascending by as_of."""
        return regimes_of(None if self.any_research else self.provenance, tx, session)

    def require_lead(self) -> None:
        """Return when this process certainly leads, or nobody needs to; right before anything is asked of the venue.

        Raises LeaseLost: another process may lead, and a change of ours could undo its own.
        """
        if self.lease is not None:
            self.lease.require()

    @property
    def account(self) -> str:
        """Account the desk trades."""
        return self.rules.account

    @property
    def strategy(self) -> str:
        """Name under which the desk's orders are kept apart from other strategies'."""
        return self.rules.strategy


def snapshots_of(origin: Provenance | None, tx: LedgerTransaction, session: date) -> Sequence[ScanSnapshot]:
    """Watchlists of the session made under `origin` (None: any), the last recorded of each as_of."""
    if origin is None:
        return tx.snapshots(session)
    return tx.snapshots(session, config_hash=origin.config_hash, code_version=origin.code_version)


def regimes_of(origin: Provenance | None, tx: LedgerTransaction, session: date) -> Sequence[RegimeSnapshot]:
    """Regimes of the session made under `origin` (None: any), the last recorded of each as_of."""
    if origin is None:
        return tx.regimes(session)
    return tx.regimes(session, config_hash=origin.config_hash, code_version=origin.code_version)
