"""A round of orders: claimed in one commit, stopped one by one, acknowledged in one, whatever happens between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.domain.control import Block, BlockKind, TradingState
from trading_pipeline.domain.errors import LeaseLost, OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, Order, OrdStatus
from trading_pipeline.domain.submission import SubmissionRules
from trading_pipeline.ports import ClientIdScope
from trading_pipeline.services.border import Border, Pacer, border
from trading_pipeline.services.dispatch import Dispatched, dispatch_due
from trading_pipeline.services.local_reports import end_locally
from trading_pipeline.services.sending import LAG, MOST
from trading_pipeline_tests.fakes import Crashed, FastClock, Fuse, FusedLedger, Wrapped, fused_broker, losing_broker
from trading_pipeline_tests.services.scripted import Scene, Stage, minute, rules
from trading_pipeline_tests.services.test_runaway import add_entries
from trading_pipeline_tests.services.test_submission import LeaseThat, set_state, undispatched

NEW, PENDING = OrdStatus.NEW, OrdStatus.PENDING_NEW


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """Five entries that wait to be sent, each in a symbol of its own."""
    scene = undispatched(stage)
    add_entries(scene, 4)
    return scene


def entries(scene: Scene) -> list[Order]:
    """The five, in the order in which they leave."""
    return sorted((one for one in scene.orders() if one.parent_id is None), key=lambda one: one.created_at)


def statuses(scene: Scene) -> list[OrdStatus]:
    return [order.status for order in entries(scene)]


@dataclass
class Venue:
    """Answers as it is told, and notes how the record stood when each order reached it."""

    scene: Scene
    act: Callable[[int], object] = lambda _number: None
    stood: list[list[OrdStatus]] = field(default_factory=list)
    claimed: list[int] = field(default_factory=list)
    """How many orders were claimed and not acknowledged then."""

    def __call__(self, name: str, call: Callable[[], object]) -> object:
        if name != "submit":
            return call()
        found = entries(self.scene)
        self.stood.append([order.status for order in found])
        self.claimed.append(sum(one.submitted_at is not None and one.status is PENDING for one in found))
        self.act(len(self.stood))
        return f"V-{len(self.stood)}"


def served(scene: Scene, act: Callable[[int], object] = lambda _number: None) -> tuple[Wrapped, Venue]:
    venue = Venue(scene, act)
    return Wrapped(scene.desk(at=15).broker, venue), venue


def on_the_third(act: Callable[[], object]) -> Callable[[int], object]:
    return lambda number: act() if number == 3 else None


def test_a_round_is_claimed_in_one_commit_before_the_first_leaves_and_acknowledged_in_one(scene: Scene) -> None:
    fuse, (broker, venue) = Fuse(), served(scene)
    desk = scene.desk(at=15, broker=broker, ledger=FusedLedger(scene.ledger, fuse))

    assert dispatch_due(desk) == Dispatched(sent=5)

    assert fuse.touched == 2 * 2  # two commits, each touched before and after
    assert venue.claimed == [5] * 5
    assert statuses(scene) == [NEW] * 5
    assert {order.venue_order_id for order in entries(scene)} == {f"V-{n}" for n in range(1, 6)}


def test_a_halt_in_the_middle_of_a_round_stops_what_is_claimed_and_has_not_left(scene: Scene) -> None:
    broker, _ = served(scene, on_the_third(lambda: set_state(scene, TradingState.HALTED)))

    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched(sent=3, canceled=2)

    assert len(broker.sent) == 3
    assert statuses(scene) == [NEW] * 3 + [OrdStatus.CANCELED] * 2
    assert all("trading is HALTED" in order.text for order in entries(scene)[3:])


def test_a_block_put_up_in_the_middle_of_a_round_stops_its_symbol_alone(scene: Scene) -> None:
    last = entries(scene)[-1]
    block = Block(
        block_id="b", account="A", symbol=last.symbol, kind=BlockKind.RECONCILE_BREAK, reason="differs",
        since=minute(15),
    )  # fmt: skip

    def put_up() -> None:
        with scene.ledger.transaction() as tx:
            tx.add_block(block)

    broker, _ = served(scene, on_the_third(put_up))

    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched(sent=4, canceled=1)
    assert last.client_order_id not in broker.sent


def test_an_order_that_somebody_ends_after_its_claim_does_not_leave(scene: Scene) -> None:
    last = entries(scene)[-1]

    def end() -> None:
        end_locally(scene.desk(at=15), last, ExecType.CANCELED, "by hand", minute(15))

    broker, _ = served(scene, on_the_third(end))

    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched(sent=4)
    assert last.client_order_id not in broker.sent


# leaders


def test_a_leader_that_loses_its_lease_in_a_round_records_what_the_venue_took_and_its_follower_sends_the_rest(
    scene: Scene,
) -> None:
    def lost(asked: int) -> None:
        if asked == 4:  # held when the round began and for two orders
            raise LeaseLost("over")

    broker, _ = served(scene)
    with pytest.raises(LeaseLost):
        dispatch_due(scene.desk(at=15, broker=broker, lease=LeaseThat(lost)))
    assert statuses(scene) == [NEW, NEW, PENDING, PENDING, PENDING]

    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched(sent=3)

    assert len(broker.sent) == len(set(broker.sent)) == 5
    assert statuses(scene) == [NEW] * 5


def test_what_a_leader_may_not_record_any_more_its_follower_finds_at_the_venue(scene: Scene) -> None:
    now = datetime.now(minute(0).tzinfo)
    with scene.ledger.transaction() as tx:
        lease = tx.take_lease("session-loop-A", "one", now, 60)
    assert lease is not None

    def take_over(name: str, call: Callable[[], object]) -> object:
        answer = call()
        if len(broker.sent) == 3:
            with scene.ledger.transaction() as tx:
                tx.release_lease(lease, now)
                tx.take_lease("session-loop-A", "two", now, 60)
        return answer

    broker = Wrapped(scene.desk(at=15).broker, take_over)
    with pytest.raises(LeaseLost):
        dispatch_due(scene.desk(at=15, broker=broker, ledger=scene.ledger.fenced(lease)))
    assert statuses(scene) == [PENDING] * 5

    dispatch_due(scene.desk(at=15, broker=broker))

    assert len(broker.sent) == len(set(broker.sent)) == 5
    assert len([one for one in scene.venue.open_orders() if one.side.value == "BUY"]) == 5


def test_an_order_that_another_sender_claims_first_is_his(scene: Scene) -> None:
    theirs = entries(scene)[2]

    class Turn:
        """A pacer during whose wait somebody claims. Has the part of Pacer that sending uses."""

        is_seeded = True

        def entry(self) -> bool:
            with scene.ledger.transaction() as tx:
                tx.claim_order(theirs.client_order_id, "another", 9)
            return True

        def is_quiet(self, *, for_entries: bool) -> bool:  # noqa: ARG002
            return False

        def room_for_entries(self) -> int:
            return MOST

    broker, _ = served(scene)
    desk = scene.desk(at=15, broker=broker, border=Border(broker, Turn()))  # type: ignore[arg-type]

    assert dispatch_due(desk) == Dispatched(sent=4, held=1)
    assert theirs.client_order_id not in broker.sent


# answers


@pytest.mark.parametrize(
    ("answer", "status"),
    [(OrderRefused("no"), OrdStatus.REJECTED), (OutcomeUnknown("no answer"), OrdStatus.IN_DOUBT)],
)
def test_after_an_answer_that_is_no_plain_success_all_is_on_record_before_the_next_order_leaves(
    scene: Scene, answer: Exception, status: OrdStatus
) -> None:
    def bad() -> None:
        raise answer

    broker, venue = served(scene, on_the_third(bad))

    dispatch_due(scene.desk(at=15, broker=broker))

    assert venue.stood[2] == [PENDING] * 5
    assert venue.stood[3] == [NEW, NEW, status, PENDING, PENDING]
    assert statuses(scene) == [NEW, NEW, status, NEW, NEW]


def test_no_acknowledgement_waits_long_for_slow_answers_to_others(scene: Scene) -> None:
    desk = scene.desk(at=15)
    broker, venue = served(scene, lambda _: desk.clock.sleep_until(desk.clock.now() + LAG * 0.6))

    dispatch_due(replace(desk, broker=broker))

    acknowledged = [stood.count(NEW) for stood in venue.stood]
    assert acknowledged == [0, 0, 0, 3, 3]  # the third was answered 1.2 s after the first
    assert entries(scene)[0].updated_at == minute(15) + LAG * 0.6


@dataclass
class Elapsed:
    """Seconds that pass at the venue while the desk's clock stands still."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def passes(self, seconds: float) -> Callable[[int], object]:
        def act(_number: int) -> None:
            self.seconds += seconds

        return act


def test_slow_answers_are_put_on_record_in_time_also_while_the_clock_stands_still(scene: Scene) -> None:
    elapsed = Elapsed()
    broker, venue = served(scene, elapsed.passes(0.45))

    dispatch_due(scene.desk(at=15, broker=broker, elapsed=elapsed))

    assert [stood.count(NEW) for stood in venue.stood] == [0, 0, 0, 3, 4]


def test_entries_that_are_answered_slowly_leave_the_loop_its_turn_and_go_on_later(scene: Scene) -> None:
    elapsed = Elapsed()
    broker, venue = served(scene, elapsed.passes(1.5))
    desk = scene.desk(at=15, broker=broker, elapsed=elapsed)

    assert dispatch_due(desk) == Dispatched(sent=2, held=3)
    assert statuses(scene) == [NEW, NEW, PENDING, PENDING, PENDING]
    assert dispatch_due(desk) == Dispatched(sent=2, held=1)
    assert dispatch_due(desk) == Dispatched(sent=1)

    assert statuses(scene) == [NEW] * 5
    assert len(broker.sent) == len(set(broker.sent)) == 5
    assert venue.claimed[0] == 5


def test_entries_that_expire_while_the_first_is_answered_do_not_leave(scene: Scene) -> None:
    elapsed = Elapsed()
    broker, _ = served(scene, elapsed.passes(1.5))
    with scene.ledger.read() as tx:
        expires_at = min(order.expires_at for order in tx.due_orders("A") if order.expires_at)
    clock = ReplayClock(expires_at - timedelta(seconds=1))

    outcome = dispatch_due(scene.desk(clock=clock, broker=broker, elapsed=elapsed))

    assert (outcome.sent, outcome.expired) == (1, 4)
    assert statuses(scene) == [NEW] + [OrdStatus.EXPIRED] * 4


def test_claims_keep_the_order_in_which_orders_leave(scene: Scene) -> None:
    broker, _ = served(scene)

    dispatch_due(scene.desk(clock=FastClock(minute(15)), broker=broker))

    claimed: dict[str, Any] = {order.client_order_id: order.submitted_at for order in entries(scene)}
    assert sorted(broker.sent, key=claimed.__getitem__) == broker.sent
    assert len(set(claimed.values())) == 5


# how many


def test_nobody_waits_for_the_pacer_between_claim_and_socket_and_the_rate_holds_at_the_socket(stage: Stage) -> None:
    scene = replace(undispatched(stage), rules=rules(submission={"orders_per_second": 2}))
    add_entries(scene, 4)
    desk, left = scene.desk(at=15), list[datetime]()
    broker, venue = served(scene, lambda _: left.append(desk.clock.now()))
    edge = border(broker, desk.clock, scene.rules.submission)

    assert dispatch_due(replace(desk, broker=edge, border=edge)) == Dispatched(sent=5)

    assert left == [order.submitted_at for order in entries(scene)]
    assert venue.claimed == [2, 2, 2, 2, 1]
    for start in left:
        assert sum(start <= at < start + timedelta(seconds=1) for at in left) <= 2


def test_an_order_that_is_held_back_costs_no_turn_and_holds_up_nobody(scene: Scene) -> None:
    first = entries(scene)[0]
    with scene.ledger.transaction() as tx:
        tx.add_block(
            Block(
                block_id="b", account="A", symbol=first.symbol, kind=BlockKind.RESTRICTED, reason="listed",
                since=minute(15),
            )
        )  # fmt: skip
    broker, venue = served(scene)

    assert dispatch_due(scene.desk(at=15, broker=broker)) == Dispatched(sent=4, held=1)
    assert venue.claimed == [4] * 4


@pytest.mark.parametrize("scope", [ClientIdScope.OPEN_ORDERS, ClientIdScope.NONE])
def test_where_the_venue_does_not_keep_our_ids_for_good_one_order_is_claimed_at_a_time(
    scene: Scene, scope: ClientIdScope
) -> None:
    class Forgetful(Wrapped):
        @property
        def capabilities(self) -> Any:
            return replace(self.broker.capabilities, client_id_scope=scope)

    venue = Venue(scene)

    dispatch_due(scene.desk(at=15, broker=Forgetful(scene.desk(at=15).broker, venue)))

    assert venue.claimed == [1] * 5
    assert [stood.count(NEW) for stood in venue.stood] == [0, 1, 2, 3, 4]


@settings(deadline=None, max_examples=60)
@given(
    waits=st.lists(st.integers(0, 40_000).map(lambda ms: timedelta(milliseconds=ms)), max_size=8),
    others=st.integers(0, 12),
    per_second=st.integers(1, 6),
    is_entry=st.booleans(),
)
def test_as_many_as_the_pacer_has_room_for_leave_at_once_and_the_next_one_waits(
    waits: list[timedelta], others: int, per_second: int, is_entry: bool
) -> None:
    clock = ReplayClock(minute(15))
    pacer = Pacer(clock, SubmissionRules(orders_per_second=per_second, venue_requests_per_minute=20))
    for wait in waits:
        pacer.entry()
        clock.sleep_until(clock.now() + wait)
    for _ in range(others):
        pacer.protection()
    take, room = (
        (pacer.entry, pacer.room_for_entries()) if is_entry else (pacer.protection, pacer.room_for_protection())
    )
    now = clock.now()

    for _ in range(room):
        take()
    assert clock.now() == now
    take()
    assert clock.now() > now


# crashes


ALL = range(1, 4 + 2 * 5 + 1)
"""Two commits and five submits, each touched before and after."""


@pytest.mark.parametrize("touch", ALL)
@pytest.mark.parametrize("losses", [(), ("", "", "reply")])
def test_a_crash_anywhere_in_a_round_sends_each_order_once(scene: Scene, touch: int, losses: Sequence[str]) -> None:
    fuse = Fuse(burns_at=touch)
    desk = scene.desk(at=15)
    doomed = losing_broker(fused_broker(desk.broker, fuse), *losses)
    with pytest.raises(Crashed):
        dispatch_due(scene.desk(at=15, ledger=FusedLedger(scene.ledger, fuse), broker=doomed))

    survivor = losing_broker(desk.broker)
    for _ in range(3):
        dispatch_due(scene.desk(at=15, broker=survivor))

    bought = [one.client_order_id for one in scene.venue.open_orders() if one.side.value == "BUY"]
    assert sorted(bought) == sorted(order.client_order_id for order in entries(scene))
    assert all(status in {NEW, PENDING} for status in statuses(scene))
