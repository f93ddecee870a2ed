"""A loop that ends by an error says so before it goes: on record as an alert, with the step and how often it failed."""

from __future__ import annotations

import logging
from datetime import date, datetime

from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.errors import InputError, LedgerError
from trading_pipeline.ports import Ledger
from trading_pipeline.services.entries import digest

log = logging.getLogger(__name__)
LOOP_FAILED, CONNECTION_LOST, CONNECTION_RESTORED = "loop_failed", "connection_lost", "connection_restored"
LONGEST_MESSAGE = 500


def tell_failure(
    ledger: Ledger, account: str, session: date, error: BaseException, *, process: str, at: datetime
) -> None:
    """An alert for a process that ends: CRITICAL, or ERROR when it refused its input. at: by the machine's clock.

    Never raises a LedgerError: what ended the process must not be hidden by it.
    """
    said = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_MESSAGE]
    try:
        step, before = _failures(ledger, account, session)
        again = f" (for the {before + 1}. time)" if before else ""
        message = (
            f"the session loop ended at step {step}{again}: {said}. Stops stay at the venue. Its supervisor starts it "
            f"again; by hand: trading-pipeline session run --session {session}"
        )
        is_refusal = isinstance(error, InputError)  # said once, however often it is tried again
        log.log(logging.ERROR if is_refusal else logging.CRITICAL, "%s", message)
        _alert(
            ledger, account, session, LOOP_FAILED, at, said if is_refusal else process, message,
            level=AlertLevel.ERROR if is_refusal else AlertLevel.CRITICAL,
            data={"step": step, "error": type(error).__name__, "failures": str(before + 1)},
        )  # fmt: skip
    except LedgerError as gone:
        log.critical("the session loop ended: %s. It could not be put on record: %s", said, gone)


def tell_connection(ledger: Ledger, account: str, session: date, *, why: str, process: str, at: datetime) -> None:
    """The venue could not be reached at the start (why), or could be after all (empty)."""
    kind, level = (CONNECTION_LOST, AlertLevel.ERROR) if why else (CONNECTION_RESTORED, AlertLevel.INFO)
    said = " ".join(why.split())[:LONGEST_MESSAGE]
    message = f"no connection to the venue: {said}. It is tried again" if why else "the venue is connected"
    _alert(ledger, account, session, kind, at, process, message, level=level, data={})


def _failures(ledger: Ledger, account: str, session: date) -> tuple[str, int]:
    """The step that was being made, and how many processes have ended at it before."""
    with ledger.read() as tx:
        record, alerts = tx.session_record(account, session), tx.alerts(account, session)
    step = "start" if record is None else f"after {(record.cursor_at or record.started_at).isoformat()}"
    return step, sum(one.kind == LOOP_FAILED and one.data["step"] == step for one in alerts)


def _alert(
    ledger: Ledger, account: str, session: date, kind: str, at: datetime, process: str, message: str, *,
    level: AlertLevel, data: dict[str, str],
) -> None:  # fmt: skip
    alert = Alert(
        alert_id=digest(kind, account, session.isoformat(), process), account=account, session=session, occurred_at=at,
        level=level, kind=kind, message=message, data={**data, "process": process},
    )  # fmt: skip
    with ledger.transaction() as tx:
        tx.raise_alert(alert)
