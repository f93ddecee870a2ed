"""alpaca-py's own clients against the data door: what becomes of history, quotes, actions and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from pydantic import SecretStr

from trading_pipeline.adapters.market_data import http
from trading_pipeline.adapters.market_data.alpaca import AlpacaMarketData
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import InputError, MarketDataError
from trading_pipeline.domain.market import MarketBar, Timeframe
from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript
from trading_pipeline.venue.tape import CorporateAction
from trading_pipeline_tests.adapters.market_data.doors import SIP, a_data_door
from trading_pipeline_tests.venue.alpaca.doors import GENEROUS
from trading_pipeline_tests.venue.builders import SESSION, at, flat
from trading_pipeline_tests.venue.tapes import ListedTape, a_day_bar, a_session

AFTER = at(24 * 60)


def minutes(count: int, *symbols: str, price: int = 50) -> list[MarketBar]:
    return [flat(minute, price, symbol=symbol, volume=1000) for symbol in symbols for minute in range(count)]


def faulty(*rules: FaultRule) -> Faults:
    return Faults(FaultScript(rules=rules))


def of(frame: pd.DataFrame, symbol: str) -> Sequence[float]:
    return list(frame.loc[frame["symbol"] == symbol, "close"])


def test_bars_of_many_symbols_are_followed_over_pages_to_the_end() -> None:
    symbols = [f"S{number:02d}" for number in range(30)]
    tape = ListedTape(minutes(390, *symbols))

    with a_data_door(tape, now=AFTER) as door:
        source = AlpacaMarketData(door.rules())
        delivery = source.bars(symbols, Timeframe.MIN1, [SESSION], AFTER)
        source.close()

    assert len(delivery.bars) == 30 * 390  # two pages of 10,000
    assert delivery.feed == "sip"
    assert delivery.bars["time"].min() == pd.Timestamp(SESSION.opens_at)
    assert set(delivery.bars.groupby("symbol").size()) == {390}


def test_bars_outside_regular_hours_are_left_at_the_vendor() -> None:
    tape = ListedTape([flat(minute, 50) for minute in (-30, -1, 0, 389, 390, 400)])

    with a_data_door(tape, now=AFTER) as door:
        delivery = AlpacaMarketData(door.rules()).bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)

    assert list(delivery.bars["time"]) == [pd.Timestamp(at(0)), pd.Timestamp(at(389))]


def test_daily_bars_are_consolidated_and_dated_by_their_session() -> None:
    tape = ListedTape(daily=[a_day_bar(-4, "40"), a_day_bar(-1, "41"), a_day_bar(0, "42")])

    with a_data_door(tape, now=AFTER, rules=GENEROUS) as door:
        source = AlpacaMarketData(door.rules())
        delivery = source.bars(["AAA"], Timeframe.DAY1, [a_session(-4), a_session(-1), SESSION], AFTER)

    assert source.feed(Timeframe.DAY1) == "sip"
    assert source.feed(Timeframe.MIN1) == "iex"
    assert list(delivery.bars["time"]) == [pd.Timestamp(a_session(day).session) for day in (-4, -1, 0)]
    assert of(delivery.bars, "AAA") == [40.0, 41.0, 42.0]


def test_on_a_free_plan_consolidated_bars_end_sixteen_minutes_ago() -> None:
    tape, now = ListedTape(minutes(60, "AAA")), at(60)

    with a_data_door(tape, now=now, rules=GENEROUS) as door:
        source = AlpacaMarketData(door.rules())
        until = source.available_until(Timeframe.DAY1, now)
        delivery = source.bars(["AAA"], Timeframe.DAY1, [SESSION], now)

    assert until == now - timedelta(minutes=16)
    assert len(delivery.bars) <= 1


def test_a_plan_without_recent_consolidated_bars_is_told_what_to_set() -> None:
    with a_data_door(ListedTape(minutes(60, "AAA")), now=at(60), rules=GENEROUS) as door:
        source = AlpacaMarketData(door.rules(feed="sip"))
        with pytest.raises(MarketDataError, match=r"Set broker.alpaca.feed: iex"):
            source.bars(["AAA"], Timeframe.MIN1, [SESSION], at(60))


def test_a_symbol_that_is_none_is_refused_and_the_rest_comes() -> None:
    with a_data_door(ListedTape(minutes(5, "AAA", "BBB")), now=AFTER) as door:
        delivery = AlpacaMarketData(door.rules()).bars(["AAA", "B$D", "BBB"], Timeframe.MIN1, [SESSION], AFTER)

    assert set(delivery.bars["symbol"]) == {"AAA", "BBB"}
    assert dict(delivery.refused) == {"B$D": "Alpaca does not know this symbol"}


def test_a_symbol_nobody_has_traded_has_no_bars() -> None:
    with a_data_door(ListedTape(minutes(5, "AAA")), now=AFTER) as door:
        delivery = AlpacaMarketData(door.rules()).bars(["ZZZ"], Timeframe.MIN1, [SESSION], AFTER)

    assert delivery.bars.empty
    assert not delivery.refused


@pytest.mark.parametrize("fault", [Fault.HTTP_429, Fault.HTTP_500, Fault.RESET, Fault.DROP_REPLY, Fault.HTTP_504])
def test_a_question_that_failed_once_is_asked_again(fault: Fault) -> None:
    faults = faulty(FaultRule(fault=fault, op="data.bars"))

    with a_data_door(ListedTape(minutes(5, "AAA")), now=AFTER, faults=faults) as door:
        delivery = AlpacaMarketData(door.rules()).bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)

    assert len(delivery.bars) == 5
    assert faults.played[fault] == 1


def test_a_vendor_that_never_answers_ends_in_words_not_in_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ATTEMPTS", 2)
    faults = faulty(FaultRule(fault=Fault.DELAY, op="data.bars", times=0, seconds=2))

    with a_data_door(ListedTape(minutes(5, "AAA")), now=AFTER, faults=faults) as door:
        source = AlpacaMarketData(door.rules(timeout_seconds=0.1))
        with pytest.raises(MarketDataError, match=r"did not answer a question for bars.*run the same command again"):
            source.bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    faults = faulty(FaultRule(fault=Fault.MALFORMED, op="data.bars"))

    with (
        a_data_door(ListedTape(minutes(5, "AAA")), now=AFTER, faults=faults) as door,
        pytest.raises(MarketDataError, match=r"cannot be read|did not answer"),
    ):
        AlpacaMarketData(door.rules()).bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)


def test_a_field_nobody_has_heard_of_harms_nothing() -> None:
    faults = faulty(FaultRule(fault=Fault.EXTRA_FIELD, op="data.bars"))

    with a_data_door(ListedTape(minutes(5, "AAA")), now=AFTER, faults=faults) as door:
        delivery = AlpacaMarketData(door.rules()).bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)

    assert len(delivery.bars) == 5


@pytest.mark.parametrize("changes", [{"key_id": SecretStr("WRONG")}, {"secret_key": SecretStr("wrong")}])
def test_refused_keys_are_told_without_showing_them(changes: dict[str, object]) -> None:
    with a_data_door(ListedTape(), now=AFTER) as door:
        source = AlpacaMarketData(door.rules(**changes))
        with pytest.raises(MarketDataError, match="refuses the keys") as told:
            source.bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)

    assert "venue-secret" not in str(told.value)


def test_without_keys_nothing_is_asked() -> None:
    with pytest.raises(InputError, match="TRADING_PIPELINE__BROKER__ALPACA__KEY_ID"):
        AlpacaMarketData(AlpacaRules())


def test_the_request_budget_is_kept() -> None:
    with a_data_door(ListedTape(minutes(1, "AAA")), now=AFTER, rules=SIP) as door:
        source = AlpacaMarketData(door.rules(data_requests_per_minute=3))
        for _ in range(3):
            source.bars(["AAA"], Timeframe.MIN1, [SESSION], AFTER)
        limiter = source._bars._session.get_adapter(door.url)._limiter  # type: ignore[attr-defined]

        assert limiter.try_acquire("request", blocking=False) is False


def test_splits_and_dividends_are_told_in_our_units() -> None:
    taken = [
        CorporateAction(symbol="AAA", ex_date=date(2025, 6, 11), kind="split", value=Decimal(4)),
        CorporateAction(symbol="BBB", ex_date=date(2025, 6, 12), kind="dividend", value=Decimal("0.25")),
        CorporateAction(symbol="CCC", ex_date=date(2025, 6, 12), kind="split", value=Decimal("0.1")),
    ]
    with a_data_door(ListedTape(taken=taken), now=at(5 * 24 * 60)) as door:
        frame, others = AlpacaMarketData(door.rules()).actions(
            ["AAA", "BBB", "CCC"], date(2025, 6, 1), date(2025, 6, 30)
        )

    days = [day.date() for day in frame["ex_date"]]
    found = dict(zip(zip(frame["symbol"], days, frame["kind"], strict=True), frame["value"], strict=True))
    assert found == {
        ("AAA", date(2025, 6, 11), "split"): 4.0,
        ("BBB", date(2025, 6, 12), "dividend"): 0.25,
        ("CCC", date(2025, 6, 12), "split"): 0.1,
    }
    assert not others


def test_the_latest_quotes_of_all_symbols_come_at_once() -> None:
    faults = Faults()
    with a_data_door(ListedTape(minutes(10, "AAA", "BBB")), now=at(10), faults=faults) as door:
        quotes = AlpacaMarketData(door.rules()).latest_quotes(["AAA", "BBB", "ZZZ"])

    assert set(quotes) == {"AAA", "BBB"}
    assert quotes["AAA"].price == Decimal(50)
    assert quotes["AAA"].bid is not None
    assert quotes["AAA"].ask is not None
    assert quotes["AAA"].bid < quotes["AAA"].price < quotes["AAA"].ask
    assert quotes["AAA"].quoted_at <= at(10)
