"""Faults of the data door: what goes wrong on the stream, message by message, and with answers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from alpaca.data.models import Bar
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from trading_pipeline.venue.alpaca.stream_data_codec import JSON, PACKED, Message, frames
from trading_pipeline.venue.alpaca.stream_data_faults import Spoiler
from trading_pipeline.venue.faults import Fault, Faults, FaultScript
from trading_pipeline_tests.venue.alpaca.data_lines import BareLine, a_line, the_vendors_stream, until
from trading_pipeline_tests.venue.alpaca.doors import AlpacaDoors, an_alpaca_door
from trading_pipeline_tests.venue.builders import a_bar, a_venue, at, flat
from trading_pipeline_tests.venue.tapes import ListedTape

BAR = {"T": "b", "S": "AAA", "t": at(0), "o": 100, "h": 101, "l": 99, "c": 100.5, "v": 1000, "n": 10}


@pytest.fixture
def doors() -> Iterator[AlpacaDoors]:
    with an_alpaca_door(a_venue(), tape=ListedTape(base=[flat(0, 100)]), start=at(5)) as found:
        yield found


def play(doors: AlpacaDoors, fault: str, op: str = "data.stream.bars", **details: object) -> None:
    rules = [{"fault": fault, "op": op, "client_order_id": "AAA", **details}]
    doors.market().play_faults(FaultScript.model_validate({"rules": rules}))


def trade(doors: AlpacaDoors, minute: int) -> None:
    """AAA and BBB, one bar each."""
    bars = [
        a_bar(minute, 100, 101, 99, "100.5", symbol="AAA", volume=1000),
        a_bar(minute, 50, 51, 49, 50, symbol="BBB", volume=1000),
    ]
    doors.market().on_bars(bars, at(minute + 1))


def heard(line: BareLine) -> list[tuple[str, str, int]]:
    """(type, symbol, minute) of the next array."""
    return [(one["T"], one["S"], one["t"].minute - 30) for one in line.hear()]


A0, B0, A1, B1 = (("b", symbol, minute) for minute in (0, 1) for symbol in ("AAA", "BBB"))


@pytest.mark.parametrize(
    ("fault", "first", "second"),
    [
        ("omit", [B0], [A1, B1]),
        ("duplicate", [A0, A0, B0], [A1, B1]),
        ("reorder", [B0], [A1, B1, A0]),
        ("unknown_value", [("zz_unheard_of", "AAA", 0), A0, B0], [A1, B1]),
        ("correct", [A0, B0], [A1, B1, ("u", "AAA", 0)]),
    ],
)
def test_what_comes_of_one_bar(
    doors: AlpacaDoors, fault: str, first: list[tuple[str, str, int]], second: list[tuple[str, str, int]]
) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["*"], updatedBars=["*"])
        play(doors, fault)
        for minute, expected in enumerate((first, second)):
            trade(doors, minute)
            assert heard(line) == expected


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("extra_field", {"zz_new_field": "1"}),
        ("absurd", {"o": 10_000, "h": 10_100, "l": 9900, "c": 10_050}),
        ("clock_skew", {"t": at(0) - timedelta(seconds=90)}),
        ("correct", {"c": 100.25, "v": 900}),
    ],
)
def test_how_one_bar_is_told(doors: AlpacaDoors, fault: str, changes: dict[str, Any]) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["*"])
        play(doors, fault, seconds=-90 if fault == "clock_skew" else 0)
        trade(doors, 0)
        spoiled, other = line.hear()

    assert {name: value for name, value in spoiled.items() if name != "vw"} == BAR | changes
    assert (other["S"], other["c"]) == ("BBB", 50)


def test_the_correction_is_the_bar_as_it_was(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["AAA"], updatedBars=["AAA"])
        play(doors, "correct")
        for minute in (0, 1):
            trade(doors, minute)
        line.hear()
        _, corrected = line.hear()

    assert {name: value for name, value in corrected.items() if name != "vw"} == BAR | {"T": "u"}


def test_a_message_that_breaks_off_cannot_be_read_and_the_rest_can(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["*"])
        play(doors, "malformed")
        trade(doors, 0)
        with pytest.raises(ValueError, match="incomplete input"):
            line.hear()
        assert heard(line) == [B0]


def test_a_delayed_bar_comes_alone_and_late(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["*"])
        play(doors, "delay", seconds=0.2)
        trade(doors, 0)

        assert [heard(line), heard(line)] == [[B0], [A0]]


def test_a_stalled_stream_stays_open_and_is_mute_for_a_while(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["*"])
        play(doors, "stall", seconds=0.5)
        trade(doors, 0)
        trade(doors, 1)
        with pytest.raises(TimeoutError):
            line.hear(timeout=0.2)
        assert line.subscribe(bars=["CCC"])["bars"] == ["*", "CCC"]
        with pytest.raises(TimeoutError):
            line.hear(timeout=0.5)
        trade(doors, 2)

        assert heard(line) == [("b", "AAA", 2), ("b", "BBB", 2)]


def test_a_closed_stream_ends_without_a_word_and_may_be_opened_again(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["*"])
        play(doors, "close")
        trade(doors, 0)
        with pytest.raises(ConnectionClosed):
            line.hear()
    with a_line(doors) as again:
        again.subscribe(bars=["*"])
        trade(doors, 1)

        assert heard(again) == [A1, B1]


@pytest.mark.parametrize("fault", ["malformed", "unknown_value", "extra_field", "close"])
def test_the_vendors_client_hears_on_after_it(doors: AlpacaDoors, fault: str) -> None:
    with the_vendors_stream(doors, lambda stream, hear: stream.subscribe_bars(hear, "*")) as listening:
        play(doors, fault)
        trade(doors, 0)
        if fault == "close":
            listening.is_subscribed.clear()
            assert listening.is_subscribed.wait(5)
        trade(doors, 1)
        until(lambda: B1 in told(listening.items), "the next minute")

    assert A1 in told(listening.items)


def told(items: list[Any]) -> list[tuple[str, str, int]]:
    return [("b", one.symbol, one.timestamp.minute - 30) for one in items if isinstance(one, Bar)]


def test_nobody_is_told_what_nobody_follows_and_no_fault_is_played_on_it(doors: AlpacaDoors) -> None:
    with a_line(doors) as line:
        line.subscribe(bars=["BBB"])
        play(doors, "omit")
        trade(doors, 0)
        line.hear()
        line.subscribe(bars=["AAA"])
        trade(doors, 1)

        assert heard(line) == [B1]


LOSING = {Fault.OMIT, Fault.MALFORMED, Fault.STALL, Fault.CLOSE}
WIRES = {
    "bars": {"T": "b", "S": "AAA", "t": at(0), "o": 1.0, "h": 2.0, "l": 1.0, "c": 2.0, "v": 10, "n": 1, "vw": 1.5},
    "quotes": {"T": "q", "S": "AAA", "t": at(0), "bp": 1.0, "ap": 1.1},
    "statuses": {"T": "s", "S": "AAA", "t": at(0), "sc": "H"},
}


@given(
    deliveries=st.lists(st.lists(st.sampled_from(sorted(WIRES)), max_size=4), max_size=5),
    faults=st.lists(st.sampled_from(sorted(Fault)), min_size=1, max_size=3),
    probability=st.sampled_from([0.3, 1.0]), seed=st.integers(0, 9),
)  # fmt: skip
@example(deliveries=[["statuses", "quotes"]], faults=[Fault.CORRECT], probability=1.0, seed=0)
def test_no_fault_stops_a_stream_and_only_losing_ones_lose(
    deliveries: list[list[str]], faults: list[Fault], probability: float, seed: int
) -> None:
    rule: dict[str, object] = {"op": "data.stream.*", "times": 0, "probability": probability}
    rules = [rule | {"fault": fault} for fault in faults]
    spoiler = Spoiler(Faults(FaultScript.model_validate({"rules": rules, "seed": seed})))
    given_out = [
        [Message(channel, f"S{day}-{n}", WIRES[channel]) for n, channel in enumerate(channels)]
        for day, channels in enumerate(deliveries)
    ]

    outcomes = [spoiler.spoiled(messages) for messages in given_out] + [spoiler.spoiled([])]

    for outcome in outcomes:
        frames(outcome.now, PACKED)
        frames([message for _, message in outcome.later], JSON)
    found = {message.symbol for outcome in outcomes for message in (*outcome.now, *(m for _, m in outcome.later))}
    if not LOSING & set(faults):
        assert found == {message.symbol for messages in given_out for message in messages}


NEEDED = {"symbols": "AAA", "timeframe": "1Min", "feed": "iex", "start": at(0).isoformat()}


@pytest.mark.parametrize(
    ("fault", "is_so"),
    [
        ("http_429", lambda answer: answer.status_code == 429 and answer.json()["message"]),
        ("http_500", lambda answer: answer.status_code == 500 and answer.json()["message"]),
        ("http_504", lambda answer: answer.status_code == 504),
        ("html_body", lambda answer: answer.text.startswith("<html>")),
        ("extra_field", lambda answer: answer.json()["bars"]["AAA"][0]["zz_new_field"]),
        ("clock_skew", lambda answer: answer.json()["bars"]["AAA"][0]["t"] == "2025-06-10T13:31:30Z"),
    ],
)
def test_answers_over_http_go_wrong_as_scripted(
    doors: AlpacaDoors, fault: str, is_so: Callable[[requests.Response], bool]
) -> None:
    doors.market().play_faults(
        FaultScript.model_validate({"rules": [{"fault": fault, "op": "data.bars", "seconds": 90}]})
    )

    assert is_so(ask(doors))
    assert ask(doors).json()["bars"]["AAA"][0]["t"] == "2025-06-10T13:30:00Z"


@pytest.mark.parametrize("fault", ["reset", "drop_reply", "malformed"])
def test_answers_over_http_get_lost(doors: AlpacaDoors, fault: str) -> None:
    doors.market().play_faults(FaultScript.model_validate({"rules": [{"fault": fault, "op": "data.bars"}]}))

    with pytest.raises(requests.RequestException):
        ask(doors).json()


def ask(doors: AlpacaDoors) -> requests.Response:
    headers = dict(zip(("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"), doors.keys, strict=True))
    return requests.get(f"{doors.url}/v2/stocks/bars", params=NEEDED, headers=headers, timeout=5)
