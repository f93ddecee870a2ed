"""What holds entries back while it lasts: slow answers, a portfolio that moves as one, clocks, and the latch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.domain.breaker import Cause, Trip
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.orders import Leg
from trading_pipeline.services.breaker import read_history
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.sending import Stretch, send_in_rounds
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.braking import history, view
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_live_loop import ActingClock
from trading_pipeline_tests.services.test_replay_acts import again, watched
from trading_pipeline_tests.services.test_runaway import add_entries
from trading_pipeline_tests.services.test_submission import undispatched


def slow(scene: Scene, real: ActingClock, between: tuple[int, int]) -> Callable[[], list[float]]:
    """25 answers a round, slow between those minutes."""

    def take() -> list[float]:
        return [3.0 if minute(between[0]) <= real.now() < minute(between[1]) else 0.1] * 25

    return take


def test_slow_answers_hold_entries_back_until_a_clean_minute_and_a_replay_does_the_same(
    stage: Stage, latch: Latch
) -> None:
    scene = watched(stage, flat_bars("50.20"), at=(15, 30, 45), cadence={"cycle_seconds": 20})
    real = ActingClock(OPENS)
    desk = scene.desk(clock=SteppedClock(OPENS, real), latch=latch, answers=slow(scene, real, (28, 32)))
    loop = scene.loop(desk=desk)
    loop.real_clock, loop.market = real, None  # a market of its own: every round is made
    loop.run()

    began, ended = (one for one in read_history(scene.ledger, "A"))
    assert (began.kind, began.data["trigger"], began.data["measured"], began.data["limit"]) == (
        "condition_began", "latency", "3", "2",
    )  # fmt: skip
    assert (began.severity, ended.kind) == ("ERROR", "condition_ended")
    assert minute(28) <= began.occurred_at <= minute(28) + timedelta(seconds=40)
    assert minute(34) <= ended.occurred_at <= minute(36)  # two minutes of window, one of cleanness
    assert [order.created_at for order in scene.orders(Leg.ENTRY)] == [minute(15), minute(45)]
    assert again(stage, scene).verified


def test_a_portfolio_that_moves_as_one_holds_entries_back_and_closes_only_when_told_to(stage: Stage) -> None:
    from trading_pipeline.domain.risk import SymbolFacts

    class Alike:
        def facts(self, symbols: Any, held: Any, session: Any, now: Any) -> dict[str, SymbolFacts]:  # noqa: ARG002
            return {one: SymbolFacts(symbol=one, correlations=dict.fromkeys(held, 0.9)) for one in {*symbols, *held}}

        def prepare(self, session: Any) -> None: ...

        def value_at_risk_usd(self, values_usd: Any, session: Any) -> Decimal | None:  # noqa: ARG002
            return None

    def day(*, flattens: bool) -> Scene:
        bars = [*path({5: "50.00", 20: "49.90"}), *path({5: "50.00", 20: "49.90"}, "ABC")]
        scene = stage.scene(
            bars=bars, risk={"max_correlation": None, "max_correlated_exposure_fraction": None},
            breaker={"correlation": {"flattens": flattens}},
        )  # fmt: skip
        scene.watchlist("XYZ", "ABC", at=15)
        scene.loop(desk=scene.desk(facts=Alike())).run()
        return scene

    assert [(what, at) for what, at in history(day(flattens=False))][:1] == [("correlation", 20)]
    assert {fill.executed_at for fill in day(flattens=True).fills() if fill.side == "SELL"} == {minute(25)}


# how fast


def test_no_entry_leaves_once_the_latch_is_set_but_one_that_is_on_its_way(stage: Stage, latch: Latch) -> None:
    scene = undispatched(stage)
    add_entries(scene, 400)
    with scene.ledger.read() as tx:
        waiting = [order for order in tx.due_orders("A") if order.parent_id is None]
    left, late, after = list[float](), list[float](), list[int]()

    def leaving(name: str, call: Callable[[], object]) -> object:
        left.append(time.perf_counter())
        if len(left) % 20 == 0:
            latched.set()
        return f"V-{len(left)}"

    desk = scene.desk(at=15, latch=latch, broker=Wrapped(scene.desk(at=15).broker, leaving))
    latched = threading.Event()

    def stop() -> None:
        latched.wait(60)
        cause = Cause(trigger=Trigger.KILL, state=TradingState.HALTED, measured="", limit="", words="drill")
        set_at.append(time.perf_counter())
        latch.overwrite(Trip(account="A", cause=cause, by="Kim", at=minute(15), session=TIMES.session))
        left_by_then.append(len(left))

    for number in range(0, 400, 100):
        set_at, left_by_then, switch = list[float](), list[int](), threading.Thread(target=stop)
        latched.clear()
        switch.start()
        outcome = send_in_rounds(desk, waiting[number : number + 100], Stretch.of(desk))
        switch.join()
        late.append(max((left[-1] - set_at[0]) * 1000, 0))
        after.append(len(left) - left_by_then[0])
        assert outcome.sent < 100
        assert outcome.canceled >= 1
        latch.release()

    assert max(after) <= 1
    assert min(late) <= 100  # milliseconds; the benchmarks say how often


def test_a_venue_whose_clock_is_elsewhere_holds_entries_back(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, flat_bars("50.20"), at=(15,))
    real = FixedClock(OPENS)
    desk = scene.desk(
        clock=SteppedClock(OPENS, real), latch=replace(latch, clock=real),
        venue_now=lambda: real.now() + timedelta(seconds=3),
    )  # fmt: skip
    loop = scene.loop(desk=desk)
    loop.real_clock, loop.market = real, None
    loop.stop_requested = lambda: real.now() >= minute(10)
    loop.run()

    assert [what for what, _ in history(scene)] == ["clock_skew"]
    assert view(scene, latch).state is TradingState.REDUCING
