"""Trading never waits for a channel: whoever raises an alert writes a row, and knows no more of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import timedelta
from random import Random

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.alerting import Message
from trading_pipeline.services.alerting.deliverer import Deliverer
from trading_pipeline.services.alerting.lines import ThreadLine
from trading_pipeline_tests.services.alerting.telling import an_alert, rules_of

LOADED = """
import sys
import trading_pipeline.adapters.ledger, trading_pipeline.services.session_loop, trading_pipeline.services.trading_state
parts = ('apprise', 'trading_pipeline.services.alerting.lines', 'trading_pipeline.services.alerting.deliverer')
print([name for name in sys.modules if name.startswith(parts)])
"""


def test_neither_the_session_loop_nor_the_ledger_knows_channels_or_who_delivers() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


class Stuck:
    """A channel that takes a message and never comes back."""

    name = "mail"

    def __init__(self) -> None:
        self.entered, self.left = threading.Event(), threading.Event()

    def send(self, message: Message) -> None:
        assert message
        self.entered.set()
        self.left.wait(20)


def test_alerts_are_written_while_a_channel_hangs_and_the_deliverer_comes_back_at_once(ledger: SqlLedger) -> None:
    channel = Stuck()
    deliverer = Deliverer(
        ledger, rules_of("mail"), {"mail": ThreadLine(channel, 20)}, SystemClock(), redact=str,
        chance=Random(1),
    )  # fmt: skip
    with ledger.transaction() as tx:
        tx.add_alert(an_alert(1, at=SystemClock().now()))
    deliverer.step()
    assert channel.entered.wait(5)

    began = time.perf_counter()
    for number in range(2, 12):
        with ledger.transaction() as tx:
            tx.add_alert(an_alert(number, at=SystemClock().now()))
        assert timedelta(0) <= deliverer.step() < timedelta(seconds=1)
    took_s = time.perf_counter() - began
    channel.left.set()

    assert took_s < 10  # ten of each, on however busy a machine; the channel would have held up each for 20 s
    with ledger.read() as tx:
        assert len(tx.alerts("SIM")) == 11
