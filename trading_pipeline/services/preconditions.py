"""The order in which a session is begun: configuration, broker, clock, reconciliation, bars, regime, universe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_pipeline.domain.errors import NotReady
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import plain
from trading_pipeline.ports import Clock
from trading_pipeline.services.book import regime_at
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.readiness import Check, require
from trading_pipeline.services.research import members
from trading_pipeline.services.research_desk import ResearchDesk

MOST_SKEW = timedelta(seconds=2)
"""Between the venue's clock and ours, either way, beyond which no entry leaves."""


@dataclass(frozen=True, slots=True)
class Skew:
    """The venue's clock less ours, and how far off that may be: half of the time it took to be told."""

    by: timedelta
    within: timedelta


def measure_skew(venue_now: Callable[[], datetime], clock: Clock) -> Skew:
    """Ask the venue what time it is. clock: the machine's. Raises what the venue raises."""
    asked_at = clock.now()
    theirs = venue_now()
    answered_at = clock.now()
    half = (answered_at - asked_at) / 2
    return Skew(theirs - (asked_at + half), half)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a session of the desk needs. machine: the clock that the venue's is held against."""

    desk: Desk
    research: ResearchDesk
    times: SessionTimes
    machine: Clock

    def checks(self) -> Sequence[Check]:
        """In the order in which they are told."""
        first = (
            Check("configuration", self.configuration),
            Check("broker", self.broker),
            Check("clock", self.clock),
            Check("reconciliation", self.reconciliation, from_open=True),
        )
        if self.desk.rules.signals == "external":
            return first
        return (*first, Check("bars", self.bars), Check("regime", self.regime), Check("universe", self.universe))

    def configuration(self) -> str:
        """It was read and is valid, or this process would not be here; what is in force goes on record."""
        made, rules = self.desk.provenance, self.desk.rules
        return (
            f"{made.config_hash[:12]}, code {made.code_version}, mode {rules.mode}, account {rules.account}, "
            f"signals {rules.signals}, decider {rules.decider}"
        )

    def broker(self) -> str:
        """The venue answers, and the account has something to trade with."""
        account = self.desk.broker.account()
        require(
            account.equity_usd.is_finite() and account.equity_usd > 0,
            f"{self.desk.broker.name} tells an equity of {account.equity_usd} USD: there is nothing to trade with",
        )
        return f"{self.desk.broker.name} answers: equity {plain(account.equity_usd)} USD"

    def clock(self) -> str:
        """The venue's clock and the machine's agree."""
        if self.desk.venue_now is None:
            return f"{self.desk.broker.name} has no clock but ours"
        skew = measure_skew(self.desk.venue_now, self.machine)
        seconds = skew.by.total_seconds()
        require(
            abs(skew.by) - skew.within <= MOST_SKEW,
            f"the clock of {self.desk.broker.name} is {seconds:+.2f} s from this machine's, and at most "
            f"{MOST_SKEW.total_seconds():g} s are allowed. Set the machine's clock by NTP (timedatectl set-ntp true)",
        )
        return f"{seconds:+.2f} s from the venue's (±{skew.within.total_seconds():.2f})"

    def reconciliation(self) -> str:
        """Record and venue were compared in this session, and agree. How long ago is asked before every dispatch."""
        with self.desk.ledger.read() as tx:
            passed = tx.last_reconciliation(self.desk.account)
        if passed is None or passed.session != self.times.session:
            raise NotReady("the record has not been compared with the venue in this session: it does not answer")
        breaks = [one.words for one in passed.blocking("")]
        require(
            not breaks,
            f"the record differs from the venue: {'; '.join(breaks)}. Look closer: trading-pipeline reconcile",
        )
        return f"record and venue agree ({passed.at:%H:%M:%S} UTC)"

    def bars(self) -> str:
        """Those of the session before are stored: indicators look back on them."""
        research, session = self.research, self.times.session
        before = research.calendar.previous(session)
        earlier = [day for day in research.stored(research.trigger) if day < session]
        require(
            bool(earlier) and earlier[-1] == before,
            f"no intraday bars of {before}, the session before, are stored (the newest are of "
            f"{earlier[-1] if earlier else 'no session'}). Fetch them: trading-pipeline data fetch",
        )
        return f"stored up to {earlier[-1]}"

    def regime(self) -> str:
        """The market's regime is known, by this code and configuration."""
        now, session = self.desk.clock.now(), self.times.session
        with self.desk.ledger.read() as tx:
            regimes = self.desk.regimes(tx, session)
        known = regime_at(regimes, now, self.times.opens_at)
        require(
            known is not None,
            f"no regime of session {session} is known at {now:%H:%M} UTC (by this code and configuration): run "
            "research_job, or see why it failed",
        )
        assert known is not None
        return f"{known.regime_class}, score {known.score:.0f}, of {known.as_of:%H:%M} UTC"

    def universe(self) -> str:
        """It is made, and not empty. Raises MissingResultError when it was never made."""
        found = members(self.research, self.times.session)
        require(bool(found), f"the universe of {self.times.session} is empty. Check `universe` in the settings")
        return f"{len(found)} symbols"
