"""The ledger's section of delivering alerts: the queue by channel, who is waited for, how the channels do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, func, or_, select, update

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters import tables
from trading_pipeline.adapters.ledger_records import Kind, insert_missing, insert_new
from trading_pipeline.adapters.ledger_rows import Rows
from trading_pipeline.domain.alert_rules import severity
from trading_pipeline.domain.alerting import (
    Acknowledgement,
    ChannelRecord,
    Delivery,
    DeliveryState,
    QueueDepth,
    Watch,
)
from trading_pipeline.domain.control import Alert, AlertLevel

DELIVERIES = Kind(Delivery, tables.AlertDeliveryRow, (("alert_id", "channel"),))
WATCHES = Kind(Watch, tables.AlertWatchRow, (("alert_id",),))
ACKNOWLEDGEMENTS = Kind(Acknowledgement, tables.AcknowledgementRow, (("alert_id",),))
CHANNELS = Kind(ChannelRecord, tables.AlertChannelRow, (("name",),))

D, W, A = DELIVERIES.table.c, WATCHES.table.c, kinds.ALERTS.table.c
NOTICED = ACKNOWLEDGEMENTS.table.c
LOOK_BACK = 500
"""How far below the newest number a row that was committed late is still looked for."""

LOUDEST_FIRST = case({level: -severity(level) for level in AlertLevel}, value=D.level)
CHANGING = ("state", "reason", "bundle", "due_at", "attempts", "maybe_sent", "message_id", "handed_at", "settled_at")
IS_OPEN = or_(D.state == DeliveryState.PENDING, D.state == DeliveryState.SENDING)

NEWEST = select(func.max(A.record_no))
QUEUED = exists().where(D.alert_no == A.record_no)
UNQUEUED = (
    kinds.ALERTS.select()
    .add_columns(A.record_no)
    .where(A.record_no > bindparam("above"), ~QUEUED)
    .order_by(A.record_no)
    .limit(bindparam("most"))
)
HIGHEST_QUEUED = select(func.max(D.alert_no))
DUE = (
    DELIVERIES.select()
    .where(
        D.channel == bindparam("of_channel"),
        D.state == DeliveryState.PENDING,
        or_(D.due_at <= bindparam("at"), and_(D.level == AlertLevel.CRITICAL, D.due_at > bindparam("horizon"))),
    )
    .order_by(LOUDEST_FIRST, D.alert_no)
    .limit(bindparam("most"))
)
LAST_TOLD = select(func.max(D.handed_at)).where(D.channel == bindparam("of_channel"), D.same == bindparam("saying"))
TOLD_SINCE = (
    select(func.min(D.handed_at))
    .where(D.channel == bindparam("of_channel"), D.rule == bindparam("of_rule"), D.handed_at > bindparam("since"))
    .group_by(D.message_id)
    .order_by(func.min(D.handed_at))
)
STANDING = select(D.alert_id, D.channel, D.state).order_by(D.alert_no, D.channel)
SAVE_DELIVERY = (
    update(DELIVERIES.table)
    .where(D.alert_id == bindparam("of_alert"), D.channel == bindparam("of_channel"), IS_OPEN)
    .values({name: bindparam(f"new_{name}") for name in CHANGING})
)
WATCH_CHANGING = ("next_at", "told", "ended_at", "ended_why")
SAVE_WATCH = (
    update(WATCHES.table)
    .where(W.alert_id == bindparam("of_alert"), W.ended_at.is_(None))
    .values({name: bindparam(f"new_{name}") for name in WATCH_CHANGING})
)
OPEN_COUNT = select(func.count()).select_from(WATCHES.table).where(W.ended_at.is_(None))


class AlertDeliveryRows(Rows):
    """What is told to whom, and what became of it."""

    def newest_alert_no(self) -> int:
        self.flush()
        return int(self._connection.execute(NEWEST).scalar() or 0)

    def unqueued_alerts(self, limit: int) -> Sequence[tuple[int, Alert]]:
        self.flush()
        above = max(0, int(self._connection.execute(HIGHEST_QUEUED).scalar() or 0) - LOOK_BACK)
        rows = self._connection.execute(UNQUEUED, {"above": above, "most": limit})
        return [(row[-1], Alert(**dict(zip(kinds.ALERTS.names, row[:-1], strict=True)))) for row in rows]

    def alerts_named(self, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
        found = self._all(kinds.ALERTS, A.alert_id.in_(alert_ids)) if alert_ids else []
        return {alert.alert_id: alert for alert in found}

    def add_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self._require_writable()
        insert_missing(self._connection, DELIVERIES, deliveries)

    def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self._require_writable()
        if deliveries:
            self._connection.execute(SAVE_DELIVERY, [_changed(one) for one in deliveries])

    def deliveries(self, alert_id: str) -> Sequence[Delivery]:
        return self._all(DELIVERIES, D.alert_id == alert_id, order=(D.channel,))

    def told_channels(self, alert_ids: Sequence[str]) -> Mapping[str, Mapping[str, DeliveryState]]:
        found = dict[str, dict[str, DeliveryState]]()
        rows = self._connection.execute(STANDING.where(D.alert_id.in_(alert_ids))) if alert_ids else ()
        for alert_id, channel, state in rows:
            found.setdefault(alert_id, {})[channel] = state
        return found

    def due_deliveries(self, channel: str, at: datetime, horizon: datetime, limit: int) -> Sequence[Delivery]:
        given = {"of_channel": channel, "at": at, "horizon": horizon, "most": limit}
        return DELIVERIES.records(self._connection, DUE, given)

    def of_message(self, message_id: str) -> Sequence[Delivery]:
        return self._all(DELIVERIES, D.message_id == message_id, IS_OPEN, order=(D.alert_no,))

    def sending(self) -> Sequence[Delivery]:
        return self._all(DELIVERIES, D.state == DeliveryState.SENDING, order=(D.alert_no, D.channel))

    def last_told(self, channel: str, same: str) -> datetime | None:
        return self._instant(LAST_TOLD, of_channel=channel, saying=same)

    def told_since(self, channel: str, rule: str, since: datetime) -> Sequence[datetime]:
        rows = self._connection.execute(TOLD_SINCE, {"of_channel": channel, "of_rule": rule, "since": since})
        return list(rows.scalars())

    def queue_depths(self) -> Sequence[QueueDepth]:
        waiting = select(D.channel, func.count(), func.min(D.due_at)).where(IS_OPEN).group_by(D.channel)
        rows = self._connection.execute(waiting.order_by(D.channel))
        return [QueueDepth(channel=name, waiting=count, oldest_due_at=oldest) for name, count, oldest in rows]

    def add_watches(self, watches: Sequence[Watch]) -> None:
        self._require_writable()
        insert_missing(self._connection, WATCHES, watches)

    def due_watches(self, at: datetime, horizon: datetime, limit: int) -> Sequence[Watch]:
        is_due = or_(W.next_at <= at, W.next_at > horizon)
        due = WATCHES.select().where(W.ended_at.is_(None), is_due).order_by(W.next_at, W.alert_no)
        return WATCHES.records(self._connection, due.limit(limit))

    def save_watches(self, watches: Sequence[Watch]) -> None:
        self._require_writable()
        if watches:
            self._connection.execute(SAVE_WATCH, [_changed_watch(one) for one in watches])

    def open_watches(self, *, limit: int = 1000) -> Sequence[Watch]:
        waiting = WATCHES.select().where(W.ended_at.is_(None)).order_by(W.alert_no).limit(limit)
        return WATCHES.records(self._connection, waiting)

    def open_count(self) -> int:
        return int(self._connection.execute(OPEN_COUNT).scalar_one())

    def acknowledgement(self, alert_id: str) -> Acknowledgement | None:
        return self._one(ACKNOWLEDGEMENTS, alert_id)

    def acknowledged(self, alert_ids: Sequence[str]) -> Mapping[str, Acknowledgement]:
        found = self._all(ACKNOWLEDGEMENTS, NOTICED.alert_id.in_(alert_ids)) if alert_ids else []
        return {one.alert_id: one for one in found}

    def unacknowledged(self, kind: str, limit: int = 1000) -> Sequence[Alert]:
        self.flush()
        is_noticed = exists().where(NOTICED.alert_id == A.alert_id)
        wanted = kinds.ALERTS.select().where(A.kind == kind, ~is_noticed).order_by(A.record_no).limit(limit)
        return kinds.ALERTS.records(self._connection, wanted)

    def add_acknowledgement(self, given: Acknowledgement) -> bool:
        self._require_writable()
        if not insert_new(self._wire, ACKNOWLEDGEMENTS, given):
            return False
        why = f"acknowledged by {given.operator}"
        watched = (W.alert_id == given.alert_id, W.ended_at.is_(None))
        ended = {"ended_at": given.acknowledged_at, "ended_why": why}
        self._connection.execute(update(WATCHES.table).where(*watched).values(ended))
        unsent = (D.alert_id == given.alert_id, D.state == DeliveryState.PENDING)
        fate = {"state": DeliveryState.SUPPRESSED, "reason": why, "settled_at": given.acknowledged_at}
        self._connection.execute(update(DELIVERIES.table).where(*unsent).values(fate))
        return True

    def recent_alerts(
        self, *, level: AlertLevel | None = None, kind: str | None = None, account: str | None = None, limit: int = 50
    ) -> Sequence[tuple[Alert, Acknowledgement | None]]:
        self.flush()
        wanted: list[ColumnElement[bool]] = [
            column == value for column, value in ((A.level, level), (A.kind, kind), (A.account, account)) if value
        ]
        newest = kinds.ALERTS.select().where(*wanted).order_by(A.record_no.desc()).limit(limit)
        found = kinds.ALERTS.records(self._connection, newest)
        given = self.acknowledged([alert.alert_id for alert in found])
        return [(alert, given.get(alert.alert_id)) for alert in found]

    def channel_records(self) -> Mapping[str, ChannelRecord]:
        return {one.name: one for one in self._all(CHANNELS, order=(CHANNELS.table.c.name,))}

    def save_channel(self, channel: ChannelRecord) -> None:
        self._put(CHANNELS, channel)

    def _instant(self, query: Select[Any], **given: Any) -> datetime | None:
        found: datetime | None = self._connection.execute(query, given).scalar()
        return found


def _changed(one: Delivery) -> dict[str, Any]:
    values = {f"new_{name}": getattr(one, name) for name in CHANGING}
    return {"of_alert": one.alert_id, "of_channel": one.channel, **values}


def _changed_watch(one: Watch) -> dict[str, Any]:
    return {"of_alert": one.alert_id, **{f"new_{name}": getattr(one, name) for name in WATCH_CHANGING}}
