"""The venue at Alpaca's door stops, by order or by SIGKILL, and starts: the same orders under the same ids."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alpaca.trading.client import TradingClient

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.alpaca.doors import ALPACA, Desk, an_alpaca_door
from trading_pipeline_tests.venue.builders import SESSION, flat

TRADING_PIPELINE = Path(sys.executable).with_name("trading-pipeline")
START_SECONDS = 30


def everything(client: Any) -> dict[str, Any]:
    """What a client can know, but for the account's prices of the moment."""
    return {
        "orders": client.get("/orders", {"status": "all", "nested": "false"}),
        "nested": client.get("/orders", {"status": "all", "nested": "true"}),
        "activities": client.get("/account/activities"),
        "positions": client.get("/positions"),
        "account": client.get("/account"),
        "clock": client.get("/clock"),
    }


def test_a_restarted_door_tells_the_same_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "venue.sqlite3"
    with closing(SimulatedVenue(path, ALPACA)) as venue, an_alpaca_door(venue) as doors:
        desk = Desk(doors)
        stop = desk.bracket()["legs"][1]
        desk.trade(99)
        moved = desk.raw.patch(f"/orders/{stop['id']}", {"stop_price": "96", "client_order_id": "moved"})
        desk.raw.patch(f"/orders/{moved['id']}", {"stop_price": "97"})
        desk.post(client_order_id=None, limit_price="90")
        desk.trade(98)
        before = everything(desk.raw)

    with closing(SimulatedVenue(path, ALPACA)) as venue, an_alpaca_door(venue) as doors:
        desk = Desk(doors)
        assert everything(desk.raw) == before
        assert desk.raw.get("/orders:by_client_order_id", {"client_order_id": "moved"})["id"] == moved["id"]
        assert desk.post()["id"] not in {order["id"] for order in before["orders"]}


def test_an_order_queued_before_a_restart_is_routed_after_it(tmp_path: Path) -> None:
    path = tmp_path / "venue.sqlite3"
    early = SESSION.opens_at.replace(hour=8)
    with closing(SimulatedVenue(path, ALPACA)) as venue, an_alpaca_door(venue, start=early) as doors:
        order = Desk(doors).post()
        assert order["status"] == "accepted"

    with closing(SimulatedVenue(path, ALPACA)) as venue, an_alpaca_door(venue) as doors:
        desk = Desk(doors)
        assert desk.statuses(order["id"]) == ["new"]
        assert desk.order(order["id"])["updated_at"].startswith("2025-06-10T13:30:00")


# the process


class VenueProcess:
    """`trading-pipeline venue alpaca` in a home of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> tuple[Any, RemoteMarket]:
        """A raw client and the market, once both doors serve."""
        ready = self._home / "ready.json"
        ready.unlink(missing_ok=True)
        command = [str(TRADING_PIPELINE), "venue", "alpaca", "--home", str(self._home), "--ready-file", str(ready)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(START_SECONDS * 50):
            if ready.exists() and (text := ready.read_text()):
                urls = json.loads(text)
                client = TradingClient("PKVENUE", "venue-secret", url_override=urls["alpaca"], raw_data=True)
                return client, RemoteMarket(urls["control"])
            assert self._process.poll() is None, self._process.communicate()
            time.sleep(0.02)
        raise AssertionError("the venue did not start")

    def stop(self, how: signal.Signals) -> tuple[int, str, str]:
        assert self._process is not None
        self._process.send_signal(how)
        out, err = self._process.communicate(timeout=START_SECONDS)
        return self._process.returncode, out, err


@pytest.fixture
def process(tmp_path: Path) -> Iterator[VenueProcess]:
    process = VenueProcess(tmp_path)
    yield process
    if process._process is not None and process._process.poll() is None:
        process.stop(signal.SIGKILL)


def test_a_killed_process_comes_back_with_what_it_acknowledged(process: VenueProcess) -> None:
    client, market = process.start()
    market.on_session_open(SESSION, {}, {})
    bracket = client.post("/orders", {
        "symbol": "AAA", "qty": "100", "side": "buy", "type": "limit", "limit_price": "100", "time_in_force": "gtc",
        "order_class": "bracket", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"},
    })  # fmt: skip
    bar = flat(0, 99)
    market.on_bars([bar], bar.end_at)
    new = client.patch(f"/orders/{bracket['legs'][1]['id']}", {"stop_price": "96", "client_order_id": "moved"})
    before = everything(client)
    process.stop(signal.SIGKILL)

    client, market = process.start()

    assert everything(client) == before
    assert client.get("/orders:by_client_order_id", {"client_order_id": "moved"})["id"] == new["id"]
    code, out, err = process.stop(signal.SIGTERM)
    assert (code, err) == (0, "")
    assert out.startswith("venue SIM: Alpaca at http://127.0.0.1:")
    assert f"Its time stands at {bar.end_at:%Y-%m-%d %H:%M:%S} UTC until its market's side moves it" in out
    assert "venue-secret" not in out
