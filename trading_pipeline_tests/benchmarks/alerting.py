"""Benchmark of alerts: what a hung channel costs whoever writes, and how soon a channel that lives is given them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain import alert_kinds
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes

SPACING_S = 0.05
DRAIN_S = 5.0


class _Hook(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base class calls it
        """Says nothing."""


@contextmanager
def answering() -> Iterator[int]:
    """The port of a webhook that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()


@contextmanager
def hanging() -> Iterator[int]:
    """The port of one that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@contextmanager
def relayed(home: Path, port: int) -> Iterator[SqlLedger]:
    """The ledger of a home whose real relay tells everything to a webhook there."""
    home.mkdir(parents=True, exist_ok=True)
    environ = os.environ | {
        "TRADING_PIPELINE_HOME": str(home), "TRADING_PIPELINE__ALERTS__CHANNELS__HOOK__URL": f"json://127.0.0.1:{port}",
    }  # fmt: skip
    with closing(SqlLedger.open(default_url(home))) as ledger:
        command = [sys.executable, "-m", "trading_pipeline.cli", "relay", "run"]
        relay = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
        try:
            _await_leader(ledger)
            yield ledger
        finally:
            relay.terminate()
            relay.wait(timeout=30)


def alerts(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Write CRITICAL alerts by turns where a relay's only channel answers and where it hangs."""
    with ExitStack() as stack:
        ledgers = {
            name: stack.enter_context(relayed(folder / f"alerts-{name}", stack.enter_context(opened())))
            for name, opened in (("answers", answering), ("hangs", hanging))
        }
        for number in range(sizes.alerts):
            for name, ledger in ledgers.items():
                _raise(ledger, number, name, timings)
                time.sleep(SPACING_S)
        timings.wall_s["handed"] = _once_all_are_handed_over(ledgers["answers"], sizes.alerts)
        timings.cpu_s["handed"] = [0.0]
    timings.counts["alerts"] = sizes.alerts


def _raise(ledger: SqlLedger, number: int, name: str, timings: Timings) -> None:
    now = datetime.now(UTC)
    raised = alert_kinds.alert(
        "kill", str(number), account="A", session=now.date(), at=now, message=f"alarm {number} of {name}"
    )
    with timings.measure(name), ledger.transaction() as tx:
        tx.add_alert(raised)


def _once_all_are_handed_over(ledger: SqlLedger, count: int) -> list[float]:
    """Seconds from raising to handing over, of every alert, once there is one for each, or so long after the last."""
    give_up_at = time.monotonic() + DRAIN_S
    while True:
        try:
            return _handed_after(ledger, count)
        except RuntimeError:
            if time.monotonic() > give_up_at:
                raise
        time.sleep(SPACING_S)


def _handed_after(ledger: SqlLedger, count: int) -> list[float]:
    with ledger.read() as tx:
        found = [
            one for alert, _ in tx.recent_alerts(kind="kill", limit=100_000) for one in tx.deliveries(alert.alert_id)
        ]
    waited = [(one.handed_at - one.occurred_at) / timedelta(seconds=1) for one in found if one.handed_at]
    if len(waited) < max(count, len(found)):
        raise RuntimeError(f"{len(waited)} of {count} alerts were handed over, in {len(found)} deliveries")
    return waited


def _await_leader(ledger: SqlLedger, patience_s: float = 60.0) -> None:
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        with ledger.read() as tx:
            lease = tx.lease("alerts")
        if lease is not None and lease.is_live(datetime.now(UTC)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no relay leads after {patience_s:g} s")
