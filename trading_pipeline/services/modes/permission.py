"""Whether a process may begin to trade an account at a broker: every condition is asked, and all that are missing told.

What is about identity (mode, keys, account) always refuses. The rest refuses where nothing is held; where something is,
the loop goes on with exits alone, because positions that nobody cares for are the greater danger.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trading_pipeline.domain.errors import NotPermitted, TradingPipelineError
from trading_pipeline.domain.modes import EMERGENCY_STOP, ModeRules, Rung, least_equity_usd
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import Ledger
from trading_pipeline.services.modes.standing import bars
from trading_pipeline.services.modes.stopping import GO_ON
from trading_pipeline.services.modes.transitions import present_mode
from trading_pipeline.services.readiness import Check, Finding, failed, require, run_checks
from trading_pipeline.settings import ExecutionSettings

log = logging.getLogger(__name__)
CONFIGURED, KEYS, ACCOUNT = "configuration", "keys", "account"
APPROVAL, STOP, EQUITY, ALERTS, AUDIT = "approval", "emergency_stop", "equity", "alerts", "audit_log"
IDENTITY = frozenset({CONFIGURED, KEYS, ACCOUNT})
"""Without these nothing is asked of a broker at all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the broker itself says: the number of the account, and its equity (USD)."""

    account_id: str
    equity_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The conditions of one account under one configuration.

    pinned: the broker's number of the account, as configured. key_faults: what is wrong with addresses and keys.
    channels: how many ways there are to tell people. idle: workers that carry alerts and the audit log on, and do not
    run. audit_fault: what is wrong with the audit log, or with what it says of the account's mode; empty when nothing
    is. catch_up: gives the log a moment to take what waits for it, before it is judged.
    """

    ledger: Ledger
    rules: ExecutionSettings
    config_hash: str
    pinned: str
    key_faults: Callable[[], Sequence[str]]
    channels: int
    idle: Callable[[], Sequence[str]]
    audit_fault: Callable[[], str]
    modes: ModeRules = field(default_factory=ModeRules)
    catch_up: Callable[[], None] = lambda: None

    @property
    def is_needed(self) -> bool:
        """False where nothing but this machine is spoken to."""
        return self.rules.mode != "simulation"

    @property
    def is_live(self) -> bool:
        """True where money is at stake."""
        return self.rules.mode == "live"

    def require(self, look: Callable[[], Seen]) -> None:
        """Before anything is connected: raise NotPermitted with all that is missing, see the module.

        look: asks the broker who we are and hangs up; called only to tell all when something is missing anyway.
        """
        if not self.is_needed:
            return
        if self.is_live:
            self.catch_up()
        missing = failed(run_checks(self.checks(), is_open=True))
        if missing and self.is_live and not any(one.name in {CONFIGURED, KEYS} for one in missing):
            missing += failed(run_checks(self.of_broker(look), is_open=True))
        self._judge(missing)

    def require_seen(self, seen: Seen) -> None:
        """Once connected, before anything is sent: the account is the one, and large enough."""
        if self.is_live:
            self._judge(failed(run_checks(self.of_broker(lambda: seen), is_open=True)))

    def checks(self) -> tuple[Check, ...]:
        """All that can be told without the broker."""
        if not self.is_needed:
            return ()
        common = (Check(KEYS, self._keys), Check(APPROVAL, self._approval), Check(STOP, self._stop))
        audited = Check(AUDIT, self._audit)
        if not self.is_live:
            return (*common, audited)
        return (Check(CONFIGURED, self._configured), *common, Check(ALERTS, self._alerts), audited)

    def of_broker(self, look: Callable[[], Seen]) -> tuple[Check, ...]:
        """What the broker's own word decides."""
        try:
            seen = look()
        except TradingPipelineError as error:
            words = str(error)
            return (Check(ACCOUNT, lambda: _wrong(f"the broker did not confirm it: {words}")),)
        return (Check(ACCOUNT, lambda: self._account(seen)), Check(EQUITY, lambda: self._equity(seen)))

    def _judge(self, missing: Sequence[Finding]) -> None:
        if not missing:
            return
        words = "; ".join(f"{one.name}: {one.words}" for one in missing)
        told = f"execution.mode {self.rules.mode} may not trade account {self.rules.account}: {len(missing)} missing"
        if any(one.name in IDENTITY for one in missing) or not self._holds():
            raise NotPermitted([one.name for one in missing], f"{told}. {words}")
        log.error("%s. Something is held, so only exits leave. %s", told, words)

    def _holds(self) -> bool:
        with self.ledger.read() as tx:
            return bool(tx.positions(self.rules.account) or tx.open_orders(self.rules.account))

    # each condition

    def _configured(self) -> str:
        require(bool(self.pinned), "broker.account_id names no account: set it to the broker's own number of it")
        return f"mode {self.rules.mode}, account {self.pinned}"

    def _keys(self) -> str:
        faults = self.key_faults()
        require(not faults, "; ".join(faults))
        return f"those of mode {self.rules.mode}"

    def _approval(self) -> str:
        with self.ledger.read() as tx:
            state = present_mode(tx, self.rules.account)
            found = bars(
                tx, self.rules.account, configured=self.rules.mode, limits=self.rules.risk,
                config_hash=self.config_hash, rules=self.modes,
            )  # fmt: skip
        require(not found, "; ".join(found))
        return f"{state.rung} is approved"

    def _stop(self) -> str:
        with self.ledger.read() as tx:
            state = present_mode(tx, self.rules.account)
        require(not state.is_stopped, f"the account is in {EMERGENCY_STOP}: {GO_ON}, approve it, and resume")
        return "not stopped"

    def _account(self, seen: Seen) -> str:
        told = seen.account_id or "(not told)"
        require(
            bool(self.pinned) and seen.account_id == self.pinned,
            f"the broker says {told}, broker.account_id says {self.pinned or 'nothing'}",
        )
        return told

    def _equity(self, seen: Seen) -> str:
        with self.ledger.read() as tx:
            state = present_mode(tx, self.rules.account)
        rung = state.rung if state.rung.is_live else Rung(Mode.LIVE_MINIMAL)
        least = least_equity_usd(rung, self.rules.risk.min_notional_usd)
        require(
            seen.equity_usd.is_finite() and seen.equity_usd >= least,
            f"{seen.equity_usd} USD is too little: {rung} allows {rung.limits.exposure_fraction:.0%} of it, and the "
            f"smallest order takes {plain(least)} USD of equity",
        )
        return f"{plain(seen.equity_usd)} USD"

    def _alerts(self) -> str:
        idle = self.idle()
        deaf = "no channel that can be used is configured (alerts.channels): nobody would hear of trouble"
        dead = f"nothing carries {', '.join(idle)} on: trading-pipeline relay run"
        wrong = [words for is_wrong, words in ((not self.channels, deaf), (bool(idle), dead)) if is_wrong]
        require(not wrong, "; ".join(wrong))
        return f"{self.channels} channel(s), the relay runs"

    def _audit(self) -> str:
        fault = self.audit_fault()
        require(not fault, f"{fault}. Look closer: trading-pipeline audit verify --ledger")
        return "verifies"


def _wrong(words: str) -> str:
    require(holds=False, wrong=words)
    return ""
