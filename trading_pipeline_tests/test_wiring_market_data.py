"""A session recorded as it happens: the door, the vendor's client, the recorder and the store, on a hurried clock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import MarketBar, Timeframe
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.health import STREAM_STATUS
from trading_pipeline.wiring.market_data import StreamStatus, record_session
from trading_pipeline_tests.adapters.market_data.doors import DataDoor, a_data_door
from trading_pipeline_tests.venue.builders import SESSION, at, flat
from trading_pipeline_tests.venue.tapes import ListedTape

SPEED = 40.0
LAST = 4
"""Minutes of the session that are left."""


@dataclass
class HurriedClock:
    """So many times as fast as a real one."""

    instant: datetime
    began: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self.instant + timedelta(seconds=(time.monotonic() - self.began) * SPEED)

    def sleep_until(self, instant: datetime) -> None:
        time.sleep(max((instant - self.now()).total_seconds() / SPEED, 0.0))


def a_home(folder: Path, door: DataDoor, clock: HurriedClock) -> Workspace:
    alpaca = door.rules()
    told = alpaca.model_dump() | {
        "key_id": alpaca.key_id.get_secret_value(), "secret_key": alpaca.secret_key.get_secret_value()
    }  # fmt: skip
    return Workspace(folder, Settings.model_validate({"broker": {"alpaca": told}}), clock=clock)


def tell(market: RemoteMarket, bars: Sequence[MarketBar], clock: HurriedClock) -> None:
    """Each minute's bars, when the clock has come to its end."""
    for end in sorted({bar.end_at for bar in bars}):
        clock.sleep_until(end)
        market.on_bars([bar for bar in bars if bar.end_at == end], end)


def test_a_session_is_recorded_from_its_middle_to_its_close_without_a_gap(tmp_path: Path) -> None:
    bars = [flat(n, 50 + n % 7, symbol=symbol, volume=1000) for symbol in ("AAA", "BBB") for n in range(390)]
    before, now = at(390 - LAST), at(390 - LAST) + timedelta(seconds=20)
    seen: list[StreamStatus] = []
    with a_data_door(ListedTape(bars), now=before) as door:
        clock = HurriedClock(now)
        telling = threading.Thread(target=tell, args=(door.market(), [b for b in bars if b.end_at > now], clock))
        telling.start()
        home = a_home(tmp_path, door, clock)

        status = record_session(home, "alpaca", ["AAA", "BBB"], with_research=False, on_status=seen.append)
        telling.join()

    rows = home.bars.read(Timeframe.MIN1, [SESSION.session])
    assert len(rows) == 2 * 390
    assert set(rows["feed"]) == {"sip"}
    assert status.closed_until == SESSION.closes_at
    assert status.counts.repaired >= 2 * (390 - LAST)
    assert len(seen) > 1
    told = json.loads((tmp_path / STREAM_STATUS).read_text())
    assert (told["provider"], told["is_stale"], told["counts"]["unusable"]) == ("alpaca", False, 0)


def test_nothing_is_recorded_when_no_session_runs_today(tmp_path: Path) -> None:
    with a_data_door(ListedTape()) as door:
        evening = a_home(tmp_path, door, HurriedClock(SESSION.closes_at + timedelta(hours=1)))
        saturday = a_home(tmp_path, door, HurriedClock(SESSION.opens_at + timedelta(days=4)))

        for home in (evening, saturday):
            with pytest.raises(InputError, match=r"no session runs today.*the next one opens 2025-06-1\d"):
                record_session(home, "alpaca", ["AAA"], with_research=False)
