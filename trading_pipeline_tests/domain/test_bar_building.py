"""Minutes built from pieces: the late-trade rule, and that nothing is lost in silence."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.bar_building import MINUTE, MinuteBar, MinuteBuilder, Piece, unusable

START = datetime(2025, 6, 10, 14, 30, tzinfo=UTC)
GRACE, MEMORY = timedelta(seconds=2), timedelta(minutes=10)


def a_builder() -> MinuteBuilder:
    return MinuteBuilder(GRACE, MEMORY)


def a_trade(second: float, price: float, volume: float = 100.0, *, symbol: str = "AAA", key: str = "") -> Piece:
    return Piece(
        symbol=symbol, at=START + timedelta(seconds=second), open=price, high=price, low=price, close=price,
        volume=volume, key=key or f"{second}",
    )  # fmt: skip


def built(pieces: list[Piece], at: datetime) -> list[MinuteBar]:
    builder = a_builder()
    for piece in pieces:
        builder.add(piece, piece.at)
    return builder.closed(at)


def test_a_minute_is_made_of_its_trades_by_their_own_time() -> None:
    pieces = [a_trade(10, 50.0), a_trade(59.9, 52.0, 300), a_trade(1, 51.0), a_trade(30, 49.0)]

    (bar,) = built(pieces, START + MINUTE + GRACE)

    assert (bar.open, bar.high, bar.low, bar.close) == (51.0, 52.0, 49.0, 52.0)
    assert (bar.volume, bar.trade_count) == (600.0, 4.0)
    assert bar.vwap == pytest.approx((51 + 50 + 49 + 3 * 52) / 6)


def test_a_minute_is_closed_its_grace_after_its_end_and_handed_out_once() -> None:
    builder = a_builder()
    builder.add(a_trade(5, 50.0), START)

    assert not builder.closed(START + MINUTE + GRACE - timedelta(microseconds=1))
    assert len(builder.closed(START + MINUTE + GRACE)) == 1
    assert not builder.closed(START + MINUTE + GRACE + GRACE)


def test_a_trade_within_the_grace_is_not_late() -> None:
    builder = a_builder()
    builder.add(a_trade(5, 50.0), START)
    builder.add(a_trade(59, 51.0), START + MINUTE + timedelta(seconds=1))

    (bar,) = builder.closed(START + MINUTE + GRACE)

    assert bar.close == 51.0
    assert builder.counts.late == 0


def test_a_late_trade_gives_the_whole_bar_again_as_a_correction() -> None:
    builder = a_builder()
    builder.add(a_trade(5, 50.0), START)
    builder.closed(START + MINUTE + GRACE)

    late_at = START + MINUTE + timedelta(seconds=30)
    builder.add(a_trade(58, 55.0), late_at)
    (bar,) = builder.closed(late_at)

    assert (bar.open, bar.close, bar.volume, bar.arrived_at) == (50.0, 55.0, 200.0, late_at)
    assert builder.counts.late == 1


def test_a_trade_later_than_is_remembered_is_counted_and_changes_nothing() -> None:
    builder = a_builder()
    builder.add(a_trade(5, 50.0), START)
    builder.closed(START + MINUTE + GRACE)

    after = START + MINUTE + MEMORY + timedelta(seconds=1)
    builder.add(a_trade(58, 55.0), after)

    assert not builder.closed(after)
    assert builder.counts.too_late == 1


def test_a_piece_told_twice_counts_once_and_a_changed_one_takes_its_place() -> None:
    pieces = [a_trade(5, 50.0, 100, key="x"), a_trade(5, 50.0, 100, key="x"), a_trade(5, 50.0, 300, key="x")]
    builder = a_builder()
    for piece in pieces:
        builder.add(piece, START)

    (bar,) = builder.closed(START + MINUTE + GRACE)

    assert bar.volume == 300.0
    assert builder.counts.repeated == 1


def test_a_minute_without_a_trade_has_no_bar() -> None:
    """Interactive Brokers tells five-second bars without volume when nothing trades."""
    assert not built([a_trade(n, 50.0, 0.0) for n in range(0, 60, 5)], START + MINUTE + GRACE)


@pytest.mark.parametrize(
    "changes",
    [{"close": float("nan")}, {"high": float("inf")}, {"open": 0.0}, {"low": -1.0}, {"volume": -1.0},
     {"volume": float("nan")}, {"high": 49.0}, {"low": 51.0}],
)  # fmt: skip
def test_a_piece_that_cannot_be_is_counted_and_left_out(changes: dict[str, float]) -> None:
    builder = a_builder()
    builder.add(replace(a_trade(5, 50.0), **changes), START)  # type: ignore[arg-type]

    assert not builder.closed(START + MINUTE + GRACE)
    assert builder.counts.unusable == 1


def test_a_bar_that_cannot_be_is_found() -> None:
    (good,) = built([a_trade(5, 50.0)], START + MINUTE + GRACE)
    bad = [replace(good, close=float("nan")), replace(good, low=60.0), replace(good, volume=-1.0)]

    assert unusable([good, *bad]) == bad


trades = st.lists(st.tuples(st.integers(0, 179), st.integers(1, 10_000), st.integers(1, 1000)), min_size=1, max_size=40)


@given(told=trades, seed=st.integers(0, 2**16))
def test_whatever_order_trades_arrive_in_the_last_word_on_every_minute_is_the_same(
    told: list[tuple[int, int, int]], seed: int
) -> None:
    pieces = [a_trade(second, price / 100, volume, key=str(n)) for n, (second, price, volume) in enumerate(told)]
    in_order = sorted(pieces, key=lambda piece: (piece.at, piece.key))
    expected = {bar.start_at: bar for bar in built(in_order, START + timedelta(minutes=5))}

    shuffled, builder, last = pieces.copy(), a_builder(), dict[datetime, MinuteBar]()
    random.Random(seed).shuffle(shuffled)
    for number, piece in enumerate(shuffled):
        now = START + timedelta(minutes=3) + number * timedelta(seconds=1)
        builder.add(piece, now)
        last |= {bar.start_at: bar for bar in builder.closed(now)}
    last |= {bar.start_at: bar for bar in builder.closed(START + timedelta(minutes=5))}

    assert {at: without_arrival(bar) for at, bar in last.items()} == {
        at: without_arrival(bar) for at, bar in expected.items()
    }
    assert sum(bar.volume for bar in last.values()) == sum(volume for _, _, volume in told)


def without_arrival(bar: MinuteBar) -> MinuteBar:
    return replace(bar, arrived_at=START)
