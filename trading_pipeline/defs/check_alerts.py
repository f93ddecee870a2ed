"""Failed asset checks leave alerts: from runs, from single checks in the UI, and from backfills alike."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from trading_pipeline.defs.partitions import calendar, configured
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.control import Alert, AlertLevel

STATUS = dg.DefaultSensorStatus.RUNNING if configured().automation.enabled else dg.DefaultSensorStatus.STOPPED
MOST = 200
"""Newest evaluations looked at per check and look."""
FIRST_LOOK, OVERLAP = timedelta(days=1), timedelta(minutes=10)
"""How far back the first look goes; and how much later an evaluation may be stored than it was made."""
LEVELS = {dg.AssetCheckSeverity.ERROR: AlertLevel.ERROR, dg.AssetCheckSeverity.WARN: AlertLevel.WARNING}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One answer of one check; severity None: it passed."""

    number: int
    name: str
    partition: str
    severity: AlertLevel | None
    at: datetime
    words: str

    def is_news_after(self, before: "Evaluation | None") -> bool:
        """True when it failed, and the answer before was good or less bad: what stays broken is told once."""
        if self.severity is None:
            return False
        return before is None or (before.severity, self.severity) in {
            (None, AlertLevel.ERROR), (None, AlertLevel.WARNING), (AlertLevel.WARNING, AlertLevel.ERROR),
        }  # fmt: skip

    def alert(self, account: str) -> Alert:
        """Its alert; the same evaluation gives the same one."""
        session = _session(self.partition) or calendar().session_of(self.at)
        return alert(
            "check_failed", self.name, self.at.isoformat(), account=account, session=session, at=self.at,
            level=self.severity, message=f"check {self.name} failed{self._of_session()}: {self.words}",
            data={"check": self.name, "partition": self.partition},
        )  # fmt: skip

    def _of_session(self) -> str:
        return f" for session {self.partition}" if self.partition else ""


def _session(partition: str) -> date | None:
    try:
        return date.fromisoformat(partition)
    except ValueError:
        return None


@dg.sensor(
    minimum_interval_seconds=10, default_status=STATUS,
    description="A check that fails leaves an alert, once, until it was good again: ERROR or WARNING as the check is.",
)  # fmt: skip
@without_secrets
def check_failure_alert_sensor(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SkipReason | dg.SensorResult:
    """Put new failures of asset checks into the queue of alerts; nothing is run."""
    known = json.loads(context.cursor) if context.cursor else {}
    until = datetime.fromisoformat(known["until"]) if known else workspace.clock().now() - FIRST_LOOK
    told: set[int] = set(known.get("told", ()))
    assert context.repository_def is not None
    keys = sorted(context.repository_def.asset_graph.asset_check_keys)
    found = [one for key in keys for one in failures(context.instance, key, until - OVERLAP if known else until)]
    new = [one for one in found if one.number not in told]
    if new:
        with workspace.looked_into() as opened, opened.ledger.transaction() as tx:
            for one in new:
                tx.raise_alert(one.alert(opened.settings.execution.account))
    newest = max([until, *(one.at for one in found)])
    kept = sorted(one.number for one in found if one.at > newest - OVERLAP)
    context.update_cursor(json.dumps({"until": newest.isoformat(), "told": kept}))
    return dg.SkipReason(f"{len(new)} check(s) failed anew" if new else "no check has failed since the last look")


def failures(instance: dg.DagsterInstance, key: dg.AssetCheckKey, since: datetime) -> Iterator[Evaluation]:
    """Failures of one check since then that the answer before, about the same partition, had not told already."""
    history = _evaluations(instance, key)
    for place, one in enumerate(history):
        before = next((other for other in history[place + 1 :] if other.partition == one.partition), None)
        if one.at > since and one.is_news_after(before):
            yield one


def _evaluations(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> Sequence[Evaluation]:
    """The newest answers of a check, newest first; what is only planned is none."""
    found = []
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=MOST):
        said = record.evaluation if record.status.value in {"SUCCEEDED", "FAILED"} else None
        if said is None or record.event is None:
            continue
        words = (said.description or "no reason given").strip().splitlines()[0][:500]
        found.append(
            Evaluation(
                record.id, f"{key.asset_key.to_user_string()}.{key.name}", record.partition or said.partition or "",
                None if said.passed else LEVELS[said.severity], datetime.fromtimestamp(record.event.timestamp, UTC),
                words,
            )
        )  # fmt: skip
    return found


SENSORS = (check_failure_alert_sensor,)
