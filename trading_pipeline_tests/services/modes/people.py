"""A desk of modes: people with passwords, a clock that is set by hand, and a record as good as it is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.gate_rules import EVIDENCE
from trading_pipeline.domain.modes import ModeRules, ModeState, Rung
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase, SessionRecord
from trading_pipeline.ports import Ledger
from trading_pipeline.services.modes.approvals import Approved, Asking, ModeDesk
from trading_pipeline.services.modes.operators import Credentials, Operators
from trading_pipeline.services.modes.targets import Target, target_of
from trading_pipeline.services.modes.transitions import Ground, present_mode
from trading_pipeline.services.readiness import SELF_TEST
from trading_pipeline_tests.builders import a_trade, an_equity_point

ACCOUNT = "A"
START = datetime(2025, 6, 2, 12, tzinfo=UTC)
KIM, LEE, ADA = (Credentials(name, SecretStr(f"a sentence of my own, {name[::-1]}")) for name in ("kim", "lee", "ada"))
GROUND = Ground(account=ACCOUNT, config_hash="c" * 64, limits=RiskLimits(), rules=ModeRules())


@dataclass
class HandClock:
    """Implements Clock: it stands until it is set; ticking, it goes on by a microsecond with every look."""

    instant: datetime = START
    ticks: bool = False

    def now(self) -> datetime:
        if self.ticks:
            self.instant += timedelta(microseconds=1)
        return self.instant

    def sleep_until(self, instant: datetime) -> None:
        self.instant = max(self.instant, instant)

    def wait(self, **time: float) -> None:
        self.instant += timedelta(**time)


@dataclass
class QuickPasswords:
    """Implements PasswordHasher in no time: a stand-in for Argon2, which is slow on purpose."""

    version: str = "1"
    hashed: int = 0

    def hash(self, password: SecretStr) -> str:
        self.hashed += 1
        return f"{self.version}:{hashlib.sha256(password.get_secret_value().encode()).hexdigest()}"

    def fits(self, kept: str, password: SecretStr) -> bool:
        return kept.partition(":")[2] == self.hash(password).partition(":")[2]

    def is_outdated(self, kept: str) -> bool:
        return not kept.startswith(f"{self.version}:")


@dataclass
class Office:
    """A ledger, its operators kim and lee, and the desk of account A."""

    ledger: Ledger
    ground: Ground = GROUND
    clock: HandClock = field(default_factory=HandClock)
    passwords: QuickPasswords = field(default_factory=QuickPasswords)

    def __post_init__(self) -> None:
        if not self.operators.all():
            self.operators.add(KIM.name, KIM.password)
            self.operators.add(LEE.name, LEE.password, KIM)

    @property
    def operators(self) -> Operators:
        return Operators(
            ledger=self.ledger, passwords=self.passwords, rules=self.ground.rules, clock=self.clock, local_user="root"
        )

    @property
    def desk(self) -> ModeDesk:
        return ModeDesk(ledger=self.ledger, operators=self.operators, ground=self.ground, clock=self.clock)

    def under(self, **ground: object) -> Office:
        """The same office under another configuration."""
        return replace(self, ground=replace(self.ground, **ground))  # type: ignore[arg-type]

    @property
    def state(self) -> ModeState:
        with self.ledger.read() as tx:
            return present_mode(tx, self.ground.account)

    def asked(self, target: Target | str, who: Credentials = KIM, **changes: object) -> str:
        """The id of a request whose evidence passes."""
        meant = target_of(target) if isinstance(target, str) else target
        asking = Asking(target=meant, reason="it went well", statements=stated(meant.mode))
        request, report = self.desk.request(replace(asking, **changes), who)  # type: ignore[arg-type]
        assert request is not None, list(report.failed)
        return request.request_id

    def approve(self, request: str, who: Credentials = KIM) -> Approved:
        return self.desk.approve(request, who, "I looked at it")

    def climb(self, mode: Mode) -> None:
        """Up to a mode, with evidence and approvals for each."""
        for one in tuple(Mode)[1 : tuple(Mode).index(mode) + 1]:
            prove(self)
            request = self.asked(one.value)
            for who in (KIM, LEE)[: 2 if one is Mode.LIVE_SCALED else 1]:
                self.approve(request, who)

    def told(self, *kinds: str) -> list[AuditEntry]:
        """Audit entries of these kinds, in order."""
        with self.ledger.read() as tx:
            return [entry for _, entry in tx.audit_entries(limit=10_000) if entry.kind in kinds]


def stated(mode: Mode | None) -> frozenset[str]:
    """All that a person has to say for a mode."""
    return frozenset(EVIDENCE[mode].statements) if mode else frozenset()


def prove(office: Office, *, account: str = "", **changes: Any) -> None:
    """A record from tomorrow on that passes every gate unless told otherwise; time goes on."""
    earn(office.ledger, office.clock, account or office.ground.account, **changes)


def earn(
    ledger: Ledger, clock: HandClock, account: str, *, sessions: int = 12, wins: int = 16, losses: int = 8,
    equity: int = 100_000, clean: bool = True,
) -> None:  # fmt: skip
    """Closed sessions with their trades, equity, self-test and comparison with the venue."""
    equity_usd, nets = Decimal(equity), [200] * wins + [-100] * losses
    with ledger.transaction() as tx:
        for number in range(sessions):
            clock.wait(days=1)
            now, mine = clock.now(), nets[number::sessions]
            for place, net in enumerate(mine):
                tx.add_trade(
                    a_trade(net, trade_id=f"{account}-{now:%m%d}-{place}", account=account, session=now.date(),
                            entry_at=now, exit_at=now + timedelta(hours=1), snapshot_id=None, setup_id=None)
                )  # fmt: skip
            opening, equity_usd = equity_usd, equity_usd + sum(mine)
            tx.save_session_record(a_session(account, now, opening))
            tx.add_equity_point(
                an_equity_point(equity_usd, account=account, session=now.date(), at=now + timedelta(hours=6))
            )
        now = clock.now()
        tx.add_risk_event(self_test(account, now, ok=clean))
        tx.add_reconciliation(
            Reconciliation(account=account, session=now.date(), at=now + timedelta(hours=5), breaks=(), suspected=())
        )
    clock.wait(hours=8)


def a_session(account: str, at: datetime, opening: Decimal) -> SessionRecord:
    return SessionRecord(
        account=account, session=at.date(), phase=SessionPhase.CLOSED, opening_cash_usd=opening,
        opening_equity_usd=opening, was_flat=True, cursor_at=at, decision_hash="", code_version="1", config_hash="c",
        started_at=at,
    )  # fmt: skip


def self_test(account: str, at: datetime, *, ok: bool) -> RiskEvent:
    return RiskEvent(
        event_id=f"self-test-{account}-{at:%m%d}", account=account, session=at.date(), occurred_at=at, kind=SELF_TEST,
        severity="INFO" if ok else "ERROR", message="all 10 good" if ok else "no entry leaves until this is right",
    )  # fmt: skip


def scaled(step: int | None = None, symbols: int | None = None) -> Target:
    return target_of("LIVE_SCALED", step=step, symbols=symbols)


def rung(mode: Mode, step: int = 1, symbols: int | None = None) -> Rung:
    return Rung(mode, step, symbols)
