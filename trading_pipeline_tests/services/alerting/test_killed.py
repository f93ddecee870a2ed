"""A real relay killed while a webhook has its message: the next one sends it again, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.alerting import DeliveryState
from trading_pipeline_tests.services.alerting.telling import an_alert

PATIENCE_S = 60.0


class Webhook(ThreadingHTTPServer):
    """Takes messages; the first it never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts = list[str]()

    def wait_for(self, count: int) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while len(self.texts) < count:
            assert time.monotonic() < give_up_at, f"{len(self.texts)} of {count} messages came"
            time.sleep(0.02)


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.texts.append(f"{told['title']}\n{told['message']}")
        if len(self.server.texts) == 1:
            threading.Event().wait(PATIENCE_S)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base class calls it
        """Says nothing."""


@contextmanager
def relay(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real one, killed at the end."""
    environ = os.environ | {
        "TRADING_PIPELINE_HOME": str(home), "TRADING_PIPELINE__ALERTS__CHANNELS__HOOK__URL": f"json://127.0.0.1:{port}",
    }  # fmt: skip
    command = [sys.executable, "-m", "trading_pipeline.cli", "relay", "run"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.soak
def test_a_relay_killed_in_the_middle_of_a_message_costs_a_repetition_that_says_so(tmp_path: Path) -> None:
    with Webhook() as hook, closing(SqlLedger.open(default_url(tmp_path))) as ledger:
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        with ledger.transaction() as tx:
            tx.add_alert(an_alert(1, at=datetime.now(UTC)))
        with relay(tmp_path, hook.server_port):
            hook.wait_for(1)

        with relay(tmp_path, hook.server_port):
            hook.wait_for(2)
            give_up_at = time.monotonic() + PATIENCE_S
            while True:
                with ledger.read() as tx:
                    (fate,) = tx.deliveries("kill-1")
                if fate.state is DeliveryState.DELIVERED:
                    break
                assert time.monotonic() < give_up_at
                time.sleep(0.05)
        hook.shutdown()

    assert "may be a repetition" not in hook.texts[0]
    assert "may be a repetition" in hook.texts[1]
