"""No sequence of acts reaches a higher mode without every condition: an outsider keeps its own books and compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from trading_pipeline.domain.errors import InputError, ModeRefused
from trading_pipeline.domain.modes import ChangeKind, ModeRules, ModeState, Rung, rises
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.modes.approvals import Asking
from trading_pipeline.services.modes.operators import Credentials
from trading_pipeline.services.modes.targets import target_of
from trading_pipeline.services.modes.transitions import change_mode
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.people import ADA, KIM, LEE, HandClock, Office, prove, stated

PEOPLE = {who.name: who for who in (KIM, LEE, ADA)}
TARGETS = (
    ("PAPER", None, None), ("LIVE_MINIMAL", None, None), ("LIVE_SCALED", None, None), ("LIVE_SCALED", 2, None),
    ("LIVE_SCALED", None, 3), ("LIVE_SCALED", 3, None), ("RENEW", None, None), ("RESUME", None, None),
)  # fmt: skip


@dataclass
class Asked:
    """What the outsider saw of a request: when, from where, under what, and who said yes when."""

    at: datetime
    account: str
    config: str
    moves: int
    is_earned: bool
    by: str
    words: dict[str, datetime] = field(default_factory=dict)


@dataclass
class Books:
    """Everything an outsider can know: acts, clock, whose password is right, who is enabled."""

    office: Office
    requests: dict[str, Asked] = field(default_factory=dict)
    enabled: dict[str, bool] = field(default_factory=lambda: {"kim": True, "lee": True, "ada": True})
    moves: int = 0
    sessions: int = 0
    wins: int = 0
    trades: int = 0

    def is_earned(self, target: str) -> bool:
        """What the record of this mode must at least show, by the outsider's own count."""
        least = {"PAPER": 1, "LIVE_MINIMAL": 10, "LIVE_SCALED": 7}.get(target, 0)
        is_winning = target in {"PAPER", "RENEW", "RESUME"} or self.wins >= 0.45 * self.trades
        return self.sessions >= least and is_winning

    def act(self, name: str, *given: Any) -> None:
        """Do it, whatever comes of it; then compare."""
        before, changes = self.office.state, self._changes()
        try:
            getattr(self, name)(*given)
        except (ModeRefused, InputError):
            assert self.office.state == before
        after = self.office.state
        if len(self._changes()) > len(changes):
            self.moves += 1
            self.sessions = self.wins = self.trades = 0
        goes_on = before.is_stopped and not after.is_stopped and after.mode is not Mode.SIMULATION
        if goes_on or rises(before.rung, after.rung):
            self.require_earned(name, given, before, after)

    def _changes(self) -> list[Any]:
        with self.office.ledger.read() as tx:
            return list(tx.mode_changes("A"))

    def require_earned(self, name: str, given: tuple[Any, ...], before: ModeState, after: ModeState) -> None:
        """A rise: this very act was the last word that it took, and everything held at that moment."""
        assert name == "approve"
        request, now = self.requests[given[0]], self.office.clock.now()
        assert request.is_earned
        assert request.at <= now < request.at + timedelta(hours=24)
        assert (request.account, request.config) == (self.office.ground.account, self.office.ground.config_hash)
        assert request.moves == self.moves - 1
        people = {who for who in request.words if self.enabled[who]}
        rules = self.office.ground.rules
        assert len(people) >= (2 if after.mode is Mode.LIVE_SCALED else rules.approvers)
        assert rules.requester_may_approve or request.by not in people
        index = tuple(Mode).index
        assert index(after.mode) - index(before.mode) in {0, 1}

    # acts

    def prove(self, sessions: int, wins: int) -> None:
        prove(self.office, sessions=sessions, wins=wins, losses=24 - wins)
        self.sessions, self.wins, self.trades = self.sessions + sessions, self.wins + wins, self.trades + 24

    def request(self, target: tuple[str, int | None, int | None], who: str, honest: bool, right: bool) -> None:
        meant = target_of(target[0], step=target[1], symbols=target[2])
        asking = Asking(target=meant, reason="try", statements=stated(meant.mode) if honest else frozenset())
        asked_at, moves = self.office.clock.now(), self.moves
        made, _ = self.office.desk.request(asking, self.credentials(who, right))
        assert right
        assert self.enabled[who]
        if made is not None:
            assert honest or meant.mode in {None, Mode.PAPER}
            self.requests[made.request_id] = Asked(
                asked_at, "A", self.office.ground.config_hash, moves,
                is_earned=self.is_earned(target[0]), by=who,
            )  # fmt: skip

    def approve(self, request: str, who: str, right: bool) -> None:
        known = self.requests.get(request)
        if known is not None and right and self.enabled[who]:  # recorded first: the comparison needs it
            known = replace(known, words={**known.words, who: self.office.clock.now()})
            before, self.requests[request] = self.requests[request], known
            try:
                self.office.desk.approve(request, self.credentials(who, right), "yes")
            except (ModeRefused, InputError):
                self.requests[request] = before
                raise
            return
        self.office.desk.approve(request, self.credentials(who, right), "yes")
        raise AssertionError("approved by nobody")

    def enable(self, who: str, is_enabled: bool) -> None:
        by = next((PEOPLE[name] for name, is_able in self.enabled.items() if is_able and name != who), None)
        if by is None:
            return
        self.office.operators.set_enabled(who, enabled=is_enabled, by=by, reason="try")
        self.enabled[who] = is_enabled

    def configure(self, config: str, rules: ModeRules) -> None:
        self.office = self.office.under(config_hash=config * 64, rules=rules)

    def wait(self, hours: int) -> None:
        self.office.clock.wait(hours=hours)

    def fall(self, kind: ChangeKind, mode: Mode | None) -> None:
        with self.office.ledger.transaction() as tx:
            change_mode(
                tx, "A", kind, Rung(mode) if mode else None, at=self.office.clock.now(), reason="try", actor="somebody"
            )

    def credentials(self, who: str, right: bool) -> Credentials:
        return PEOPLE[who] if right else Credentials(who, SecretStr("certainly not this one"))


people = st.sampled_from(sorted(PEOPLE))
often = st.sampled_from([True] * 7 + [False])
ACTS: dict[str, Callable[[Books], st.SearchStrategy[tuple[Any, ...]]]] = {
    "prove": lambda _: st.tuples(st.sampled_from([12, 12, 12, 5]), st.sampled_from([16, 16, 16, 8])),
    "request": lambda _: st.tuples(st.sampled_from(TARGETS), people, often, often),
    "approve": lambda books: st.tuples(st.sampled_from([*books.requests, "none"][-3:]), people, often),
    "enable": lambda _: st.tuples(people, often),
    "configure": lambda _: st.tuples(
        st.sampled_from("cd"),
        st.builds(
            ModeRules, approvers=st.sampled_from([1, 1, 2]), requester_may_approve=st.sampled_from([True, False])
        ),
    ),
    "wait": lambda _: st.tuples(st.sampled_from([0, 1, 23, 25, -1])),
    "fall": lambda _: st.tuples(st.sampled_from(ChangeKind), st.none() | st.sampled_from(Mode)),
}
ORDER = ("request", "approve", "prove", "approve", "request", "approve", "enable", "configure", "wait", "fall")


def an_office() -> Office:
    clock = HandClock()
    office = Office(MemoryLedger(now=clock.now), clock=clock)
    office.operators.add(ADA.name, SecretStr(ADA.password.get_secret_value()), KIM)
    return office


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_e46_no_sequence_of_acts_reaches_a_higher_mode_without_every_condition(data: st.DataObject) -> None:
    office = an_office()
    climbed = data.draw(st.sampled_from(list(Mode)))
    office.climb(climbed)
    books = Books(office)
    for _ in range(data.draw(st.integers(5, 25))):
        name = data.draw(st.sampled_from(ORDER))
        books.act(name, *data.draw(ACTS[name](books)))


DISTURBANCES = ("enable", "configure", "wait", "fall", "approve", "prove")
NEXT = {Mode.SIMULATION: TARGETS[:1], Mode.PAPER: TARGETS[1:2], Mode.LIVE_MINIMAL: TARGETS[2:3]}


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_e46_what_happens_between_the_request_and_the_last_word_decides(data: st.DataObject) -> None:
    books, here = Books(an_office()), data.draw(st.sampled_from(list(Mode)))
    books.office.climb(here)
    books.act("prove", 12, 16)
    books.act("request", data.draw(st.sampled_from(NEXT.get(here, TARGETS[3:5]))), "kim", True, True)
    request = list(books.requests)[-1]
    for who in data.draw(st.permutations(sorted(PEOPLE))):
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(DISTURBANCES))
            books.act(name, *data.draw(ACTS[name](books)))
        books.act("approve", request, who, True)


def test_the_books_see_a_rise_that_was_earned() -> None:
    """The comparison above is no empty one: the honest way leads all the way up, and passes it."""
    books = Books(an_office())
    for target, people_asked in (("PAPER", ["kim"]), ("LIVE_MINIMAL", ["kim"]), ("LIVE_SCALED", ["kim", "lee"])):
        books.act("prove", 12, 16)
        books.act("request", (target, None, None), "kim", True, True)
        for who in people_asked:
            books.act("approve", list(books.requests)[-1], who, True)

    assert books.office.state.mode is Mode.LIVE_SCALED
    assert books.moves == 3
