"""A gate: the evidence for a higher mode, each threshold with what was measured, in a report that names itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from trading_pipeline.domain.modes import ChangeKind, Rung, content_hash
from trading_pipeline.domain.risk_book import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class GateItem:
    """One condition: what was measured against what, on how many. All texts as they are shown.

    sample: how many observations stand behind it, None where it is no statistic. interval: 95 % confidence interval,
    empty where there is none. note: what else there is to say.
    """

    name: str
    measured: str
    threshold: str
    passed: bool
    sample: int | None = None
    interval: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """Everything that was measured for one request. report_id: SHA-256 of all the rest.

    account: for which the rung is asked; evidence_account: whose record was measured, of what it did since `since`.
    statements: what the requester said in person, by name of the item.
    """

    report_id: str
    account: str
    evidence_account: str
    kind: ChangeKind
    mode: Mode
    step: int
    symbols: int | None
    since: datetime | None
    made_at: datetime
    made_by: str
    config_hash: str
    limits_hash: str
    items: tuple[GateItem, ...]

    @property
    def rung(self) -> Rung:
        """The rung asked for."""
        return Rung(self.mode, self.step, self.symbols)

    @property
    def failed(self) -> tuple[GateItem, ...]:
        """What is missing."""
        return tuple(item for item in self.items if not item.passed)

    @property
    def passed(self) -> bool:
        """True when nothing is missing; a report without any item proves nothing."""
        return bool(self.items) and not self.failed

    @property
    def is_genuine(self) -> bool:
        """True when the content is what the id was made of."""
        return self.report_id == report_id(asdict(self))


def report_id(content: Mapping[str, object]) -> str:
    """The id of a report with this content; its own id does not count."""
    return content_hash({name: _text(value) for name, value in content.items() if name != "report_id"})


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return [dict(one) for one in value] if isinstance(value, tuple) else value
