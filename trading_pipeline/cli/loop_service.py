"""The session loop as a service, which `up` keeps alive: wait for the next session, then become its `session run`.

python -m trading_pipeline.cli.loop_service

Settings and home come from the environment. When the session is closed, or its loop dies, whoever keeps this alive
starts it again.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.stop_signals import stop_signals
from trading_pipeline.cli.output import complain, say
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.services.next_session import next_to_host
from trading_pipeline.wiring import open_workspace

LOOK = timedelta(seconds=1)


def main() -> None:
    """Return only when the process is asked to stop before the session begins."""
    workspace, clock = open_workspace(), SystemClock()
    rules = workspace.settings
    with workspace.ledger.read() as tx:
        records = tx.session_records(rules.execution.account)
    lead = timedelta(minutes=rules.automation.supervision.lead_minutes)
    due = next_to_host(workspace.calendar, records, clock.now(), lead)
    say(f"{clock.now():%Y-%m-%d %H:%M:%S} UTC: session {due.session}, from {due.starts_at:%Y-%m-%d %H:%M} UTC on")
    if not _waited(clock, due.starts_at):
        return
    command = [sys.executable, "-m", "trading_pipeline.cli", "session", "run", "--session", due.session.isoformat()]
    os.execv(command[0], command)  # noqa: S606  the same program


def _waited(clock: SystemClock, until: datetime) -> bool:
    """True at the instant, by the machine's clock wherever it is set to meanwhile; False when asked to stop before."""
    with stop_signals() as is_asked:
        while not is_asked() and clock.now() < until:
            clock.sleep_until(min(until, clock.now() + LOOK))
        return not is_asked()


if __name__ == "__main__":
    try:
        main()
    except TradingPipelineError as error:
        raise SystemExit(complain(str(error))) from error
