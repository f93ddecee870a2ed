"""Every kind of alert there is: what rules may name, what the documentation lists, and how loud each is.

A kind's name is kept on record and in people's settings: it never changes its meaning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from trading_pipeline.domain.control import Alert, AlertLevel


class Topic(StrEnum):
    """What an alert is about."""

    TRADING = "trading"
    RISK = "risk"
    VENUE = "venue"
    DATA = "data"
    SYSTEM = "system"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class AlertKind:
    """One kind. levels: the usual one first, then those it may have as well. event: what it is an instance of."""

    name: str
    topic: Topic
    event: str
    levels: tuple[AlertLevel, ...]
    meaning: str

    @property
    def level(self) -> AlertLevel:
        """The usual one."""
        return self.levels[0]


INFO, WARNING = (AlertLevel.INFO,), (AlertLevel.WARNING,)
ERROR, CRITICAL = (AlertLevel.ERROR,), (AlertLevel.CRITICAL,)
GRAVE = (AlertLevel.CRITICAL, AlertLevel.ERROR)
SERIOUS = (AlertLevel.ERROR, AlertLevel.WARNING)

_TRADING = (
    ("setup_a_plus", "new A+ setup", INFO, "a setup of grade A+ is new on the watchlist of the running session"),
    ("position_opened", "position opened", INFO, "an entry was filled"),
    ("position_closed", "position closed", INFO, "a position was sold; says why, and the profit or loss"),
    ("stop_hit", "stop hit", INFO, "a position was sold by its stop, or by one that had been trailed"),
    ("target_hit", "target hit", INFO, "a position was sold at its target"),
    ("trade_amended", "position closed", WARNING, "the venue's later word changed what a closed trade earned"),
    ("watchlist_cut", "limit exceeded", WARNING, "a watchlist had more rows than one execution may decide on"),
    ("session_started", "start", INFO, "a session was begun"),
    ("session_closed", "shutdown", INFO, "a session ran to its close; says what it earned"),
    ("closed_unheard", "connection lost", (AlertLevel.ERROR,), "a session was closed while the venue was silent"),
    ("session_stopped", "shutdown", WARNING, "a session's loop was stopped before the close; stops stay at the venue"),
    ("report_ready", "report ready", INFO, "the performance of a session is on record"),
)
_RISK = (
    ("daily_loss_near", "daily-loss approaching", WARNING, "75 % of the daily loss is reached: only exits leave today"),
    ("limit_exceeded", "limit exceeded", WARNING, "an entry was denied: it would have exceeded a limit"),
    ("limit_drifted", "limit exceeded", WARNING, "what is held is above a limit: prices moved, or others traded"),
    ("limit_regained", "limit exceeded", INFO, "what had drifted above a limit is within it again"),
    ("correlation_breach", "correlation breach", (AlertLevel.ERROR, AlertLevel.WARNING),
     "the pairs held move together too much, so that no entry leaves; or an entry was denied for it"),
    ("buying_power_low", "buying power low", WARNING, "buying power or settled cash denied an entry or cut it"),
    ("repeated_execution", "limit exceeded", ERROR, "a symbol was entered too often: blocked until re-armed"),
    ("rearmed", "limit exceeded", WARNING, "a person lets a blocked symbol be entered again"),
    ("daily_loss", "breaker trip", CRITICAL, "the daily loss is at its limit: trading is halted"),
    ("drawdown", "breaker trip", CRITICAL, "equity fell too far from the session's peak: trading is halted"),
    ("error_streak", "breaker trip", CRITICAL, "too many answers in a row were refusals: only exits leave"),
    ("orders_without_intent", "breaker trip", CRITICAL, "an order was found that nobody decided on: trading is halted"),
    ("too_many_intents", "breaker trip", CRITICAL, "more orders waited to leave than may be: trading is halted"),
    ("reconciliation", "breaker trip", CRITICAL, "record and venue differ for too long: trading is halted"),
    ("kill", "breaker trip", CRITICAL, "a person pulled the kill switch"),
    ("latch_unreadable", "breaker trip", CRITICAL, "the latch file cannot be read, which blocks trading"),
    ("entries_withdrawn", "breaker trip", INFO, "after a halt the venue shows no working entry of ours any more"),
    ("flattened", "breaker trip", INFO, "all was closed as a person wanted: the venue shows nothing held"),
    ("condition_ended", "breaker trip", INFO, "what held entries back is over"),
    ("unprotected", "limit exceeded", CRITICAL, "shares are held under no live stop"),
    ("unprotected_overnight", "limit exceeded", CRITICAL, "shares are held after the close under no live stop"),
    ("mode_changed", "mode change", (AlertLevel.WARNING, *GRAVE), "an account's trading mode was changed"),
    ("operator_recovered", "mode change", CRITICAL, "who owns the home set an operator's password: all accounts stop"),
)  # fmt: skip
_VENUE = (
    ("connection_lost", "connection lost", ERROR, "the venue cannot be reached, or does not answer"),
    ("connection_restored", "connection restored", INFO, "the venue answers again"),
    ("latency", "API error", ERROR, "the venue answers too slowly: no entry leaves while this lasts"),
    ("clock_skew", "API error", ERROR, "our clock and others' are too far apart: no entry leaves while this lasts"),
    ("order_rejected", "API error", WARNING, "the venue refused an order"),
    ("order_in_doubt", "API error", WARNING, "nobody knows yet whether an order reached the venue"),
    ("order_lost", "API error", CRITICAL, "an order was sent and the venue does not know it"),
    ("reports_unknown", "API error", WARNING, "the venue did not tell what became of orders"),
    ("replace_failed", "API error", WARNING, "the venue would not change an order"),
    ("cancel_failed", "API error", WARNING, "the venue would not cancel an order"),
    ("impossible_report", "API error", CRITICAL, "the venue told of an order what cannot be"),
    ("overfill", "API error", CRITICAL, "more was traded than was ordered"),
    ("unknown_order", "API error", CRITICAL, "the venue reports an order that we did not send"),
    ("unusable_report", "API error", CRITICAL, "the venue reports numbers or an instant that nobody can use"),
    ("contradicting_report", "API error", CRITICAL, "the venue tells one thing in two ways: what came first holds"),
    ("sale_without_shares", "API error", CRITICAL, "the venue reports a sale of more than is held"),
    ("correction_waits", "API error", WARNING, "the venue corrected a trade that it has not told of"),
    ("trade_corrected", "API error", WARNING, "the venue took a trade back or corrected it"),
    ("reconcile_break", "reconciliation mismatch", CRITICAL, "record and venue differ"),
)
_DATA = (
    ("data_issue", "data issue", ERROR, "data is missing, stale or of no use: nothing is decided on it"),
    ("stale_data", "data issue", ERROR, "prices are too old: no entry leaves while this lasts"),
    ("unannounced_split", "data issue", CRITICAL, "a price moved as by a split that nobody announced"),
    ("signals_refused", "data issue", WARNING, "external signals cannot be used"),
    ("check_failed", "data issue", SERIOUS, "an asset check failed"),
)
_SYSTEM = (
    ("start_up", "start", SERIOUS, "not all is right for the session yet: no entry leaves"),
    ("self_test", "start", ERROR, "a control does not work: no entry leaves"),
    ("configuration_accepted", "start", WARNING, "a person lets a session go on under a changed configuration"),
    ("loop_failed", "shutdown", GRAVE, "the session loop ended by an error; stops stay at the venue"),
    ("loop_restarted", "start", (AlertLevel.WARNING, AlertLevel.ERROR), "the session loop is started again"),
    ("loop_dead", "shutdown", CRITICAL, "no session loop guards the positions"),
    ("loop_heartbeat_stopped", "shutdown", CRITICAL, "the session loop gave no sign of life"),
    ("run_failed", "API error", (AlertLevel.ERROR, AlertLevel.CRITICAL), "a Dagster run failed"),
    ("alert_channel_dead", "alerts", ERROR, "a channel of alerts takes no messages: others are told in its place"),
    ("alert_channel_restored", "alerts", INFO, "a channel of alerts takes messages again"),
    ("alerts_unacknowledged", "alerts", CRITICAL, "a reminder: nobody has acknowledged CRITICAL alerts"),
)
_RECORD = (
    ("audit_key_wrong", "checkpoint overdue", CRITICAL, "the audit log cannot be signed: no key, or another one"),
    ("audit_mismatch", "checkpoint overdue", CRITICAL, "the audit log does not continue what was anchored outside"),
    ("checkpoint_overdue", "checkpoint overdue", CRITICAL, "the audit log was not signed in time"),
    ("audit_checkpoint", "checkpoint", INFO, "the audit log's newest checkpoint, sent out once a day: keep it"),
)

KINDS: Mapping[str, AlertKind] = {
    name: AlertKind(name, topic, event, levels, meaning)
    for topic, rows in (
        (Topic.TRADING, _TRADING), (Topic.RISK, _RISK), (Topic.VENUE, _VENUE), (Topic.DATA, _DATA),
        (Topic.SYSTEM, _SYSTEM), (Topic.RECORD, _RECORD),
    )
    for name, event, levels, meaning in rows
}  # fmt: skip
"""By name, in the order they are shown."""


def alert_id(kind: str, *cause: str) -> str:
    """Identity of an alert: the same cause, the same id."""
    return hashlib.sha256("|".join((kind, *cause)).encode()).hexdigest()[:24]


def alert(
    kind: str, *cause: str, account: str, session: date, at: datetime, message: str, level: AlertLevel | None = None,
    data: Mapping[str, str] | None = None,
) -> Alert:  # fmt: skip
    """An alert of a kind, at its usual level unless another is given; with account and session, `cause` identifies it.

    Raises KeyError for a kind that is not in the table.
    """
    return Alert(
        alert_id=alert_id(kind, account, session.isoformat(), *cause), account=account, session=session,
        occurred_at=at, level=level or KINDS[kind].level, kind=kind, message=message, data=dict(data or {}),
    )  # fmt: skip
