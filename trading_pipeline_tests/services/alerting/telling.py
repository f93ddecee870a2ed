"""A world to deliver alerts in: phones that take, refuse, hang or lie, under a clock that jumps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.alerting import Delivery, DeliveryState, Message, Outcome, OutcomeKind
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.ports.alerting import AlertLedger
from trading_pipeline.services.alerting.deliverer import Deliverer

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)
SESSION = date(2026, 11, 20)
TAKES, FAILS, REFUSES, HANGS, LIES = "takes", "fails", "refuses", "hangs", "lies"
"""Moods of a phone. LIES: it rings, and then says that nobody knows."""


def rules_of(*names: str, **further: object) -> AlertRules:
    """Channels of these names, asked in this order, as quick as they can be made; other settings by name."""
    channels = {
        name: {
            "url": f"json://{name}",
            "escalation_order": place + 1,
            "messages_per_minute": 600,
            "burst_messages": 100,
        }
        for place, name in enumerate(names)
    }
    return AlertRules.model_validate({"channels": channels, **further})


def an_alert(
    number: int = 1, *, level: AlertLevel = AlertLevel.CRITICAL, kind: str = "kill", at: datetime = NOON,
    message: str = "", **data: str,
) -> Alert:  # fmt: skip
    return Alert(
        alert_id=f"{kind}-{number}", account="SIM", session=SESSION, occurred_at=at, level=level, kind=kind,
        message=message or f"alarm number {number}", data=data,
    )  # fmt: skip


@dataclass
class Phone:
    """A Line with somebody at its end; `rang` is what reached them."""

    name: str
    clock: ReplayClock
    mood: str = TAKES
    timeout: timedelta = timedelta(seconds=10)
    takes: timedelta = timedelta(0)
    rang: list[tuple[datetime, Message]] = field(default_factory=list)
    handed: int = 0
    _flight: tuple[Message, datetime, OutcomeKind] | None = None

    @property
    def is_free(self) -> bool:
        return self._flight is None

    @property
    def message_id(self) -> str:
        return self._flight[0].message_id if self._flight else ""

    def hand(self, message: Message) -> None:
        assert self._flight is None, "handed a message while another one is on its way"
        assert len(message.title) + len(message.body) > 0
        self.handed += 1
        now = self.clock.now()
        if self.mood in {TAKES, LIES}:
            self.rang.append((now, message))
        kind = {
            TAKES: OutcomeKind.DELIVERED, FAILS: OutcomeKind.FAILED, REFUSES: OutcomeKind.REFUSED,
            HANGS: OutcomeKind.UNKNOWN, LIES: OutcomeKind.UNKNOWN,
        }[self.mood]  # fmt: skip
        self._flight = message, now + (self.timeout if self.mood == HANGS else self.takes), kind

    def outcome(self) -> Outcome | None:
        if self._flight is None or self.clock.now() < self._flight[1]:
            return None
        message, _, kind = self._flight
        self._flight = None
        words = "" if kind is OutcomeKind.DELIVERED else f"{self.name} {self.mood}"
        return Outcome(message_id=message.message_id, channel=self.name, kind=kind, words=words)

    @property
    def texts(self) -> list[str]:
        return [f"{message.title}\n{message.body}" for _, message in self.rang]

    @property
    def heard(self) -> Counter[str]:
        """How often each alert rang here."""
        return Counter(alert_id for _, message in self.rang for alert_id in message.alert_ids)


@dataclass
class Telling:
    """Ledger, phones, clock and the deliverer between them."""

    ledger: SqlLedger
    rules: AlertRules
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(NOON))
    phones: dict[str, Phone] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.phones = self.phones or {name: Phone(name, self.clock) for name in self.rules.in_order()}
        self.deliverer = self.begin(self.ledger)

    def begin(self, ledger: AlertLedger) -> Deliverer:
        """A deliverer of a new lease, with the phones of this process."""
        chance = Random(7)
        return Deliverer(ledger, self.rules, self.phones, self.clock, redact=str, chance=chance)

    def restart(self) -> None:
        """A new process: what was on its way is forgotten."""
        for phone in self.phones.values():
            phone._flight = None
        self.deliverer = self.begin(self.ledger)

    def raise_alerts(self, *alerts: Alert) -> None:
        with self.ledger.transaction() as tx:
            for alert in alerts:
                tx.add_alert(alert)

    def run(self, duration: timedelta, stride: timedelta = timedelta(seconds=1)) -> None:
        """Let so much time pass, looking at least every `stride`."""
        until = self.clock.now() + duration
        while self.clock.now() < until:
            wait = self.deliverer.step()
            self.clock.sleep_until(min(until, self.clock.now() + max(wait, stride)) if wait else self.clock.now())
        while not self.deliverer.step():
            pass

    def fates(self, alert_id: str) -> dict[str, DeliveryState]:
        return {one.channel: one.state for one in self.deliveries(alert_id)}

    def deliveries(self, alert_id: str) -> Sequence[Delivery]:
        with self.ledger.read() as tx:
            return tx.deliveries(alert_id)

    def states(self) -> Mapping[DeliveryState, int]:
        """How many deliveries are where."""
        with self.ledger.read() as tx:
            alerts = tx.recent_alerts(limit=100_000)
            found = (one.state for alert, _ in alerts for one in tx.deliveries(alert.alert_id))
            return Counter(found)


class Fused:
    """An AlertLedger that dies at the nth touch of a transaction: before it, or after its commit."""

    def __init__(self, ledger: SqlLedger, burns_at: int) -> None:
        self._ledger, self._burns_at, self.touched = ledger, burns_at, 0

    def touch(self) -> None:
        self.touched += 1
        if self.touched == self._burns_at:
            raise Died

    def transaction(self) -> AbstractContextManager[object]:
        return _Burning(self, self._ledger)

    def read(self) -> AbstractContextManager[object]:
        return self._ledger.read()


class _Burning(AbstractContextManager[object]):
    def __init__(self, fused: Fused, ledger: SqlLedger) -> None:
        self._fused, self._inner = fused, ledger.transaction()

    def __enter__(self) -> object:
        self._fused.touch()
        return self._inner.__enter__()

    def __exit__(self, *error: object) -> bool | None:
        swallowed = self._inner.__exit__(*error)  # type: ignore[arg-type]
        if error[0] is None:
            self._fused.touch()
        return swallowed


class Died(BaseException):
    """The process ends here."""
