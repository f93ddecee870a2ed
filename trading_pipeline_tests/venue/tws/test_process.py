"""The TWS door as a process of its own: killed, it comes back with every order its clients know."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline_tests.venue.tws.clients import a_client

COMMAND = Path(sys.executable).with_name("trading-pipeline")


@dataclass(frozen=True, slots=True)
class Served:
    """A process that serves, and where."""

    process: subprocess.Popen[str]
    host: str
    port: int
    market: RemoteMarket


@contextmanager
def a_process(home: Path) -> Iterator[Served]:
    """`trading-pipeline venue ib` of a home, killed afterwards if it still runs."""
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    arguments = ["venue", "ib", "--home", str(home), "--ready-file", str(ready)]
    process = subprocess.Popen([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        addresses = _when_written(ready, process)
        host, _, port = addresses["ib"].partition(":")
        yield Served(process, host, int(port), RemoteMarket(addresses["control"]))
    finally:
        process.kill()
        process.communicate(timeout=10)


def _when_written(ready: Path, process: subprocess.Popen[str]) -> dict[str, str]:
    for _ in range(1_200):
        text = ready.read_text(encoding="utf-8") if ready.exists() else ""
        if text.endswith("}"):
            return dict(json.loads(text))
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the door did not open within a minute")


@pytest.mark.slow
def test_a_killed_door_comes_back_with_every_order_and_a_stopped_one_ends_in_order(tmp_path: Path) -> None:
    with a_process(tmp_path) as first, a_client(first) as client:
        orders = client.bracket()
        placed = [trade.order.permId for trade in client.place(*orders)]
        first.process.send_signal(signal.SIGKILL)
        client.run(client.ended)

    with a_process(tmp_path) as second, a_client(second) as again:
        shown = again.run(again.ib.reqOpenOrdersAsync)
        assert [(t.order.permId, t.order.orderRef) for t in shown] == list(
            zip(placed, ["b-e", "b-s", "b-t"], strict=True)
        )
        assert [t.order.parentId for t in shown] == [0, orders[0].orderId, orders[0].orderId]
        second.process.send_signal(signal.SIGTERM)
        second.process.wait(10)
        assert second.process.returncode in {0, -signal.SIGTERM}
