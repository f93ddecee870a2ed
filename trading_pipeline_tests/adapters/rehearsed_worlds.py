"""The four ways to a venue, each as a world that can misbehave: in process, by its door, by Alpaca's, by TWS's."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker, AlpacaKeys, AlpacaOrderNews
from trading_pipeline.adapters.brokers.faulty import FaultyBroker
from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.market import MarketBar
from trading_pipeline.ports import Broker
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import NOT_DONE, Fault, Faults, FaultScript
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world
from trading_pipeline_tests.adapters.ib_worlds import QUICK, IbWorld, a_broker, until
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld, a_door
from trading_pipeline_tests.contract_tests.rehearsed import Call, Nature, Setup, rule
from trading_pipeline_tests.venue.builders import SESSION, at
from trading_pipeline_tests.venue.tws.doors import ROOMY, a_tws_door

HALF_A_MINUTE = 30.0
SYMBOLS = frozenset({"AAA", "XYZ"})
_NO_WIRE = "its answers have no wire format of a vendor's to be spoiled"
_NO_STREAM = "it has no stream: reports are asked for"
_ONE_CLOCK = "it goes by its client's clock"
_NO_KEYS, _NO_CLIENTS = "it asks nobody for keys", "it knows no client ids and no read-only clients"
_OF_A_VENDOR = {
    Fault.HTML_BODY: _NO_WIRE, Fault.MALFORMED: _NO_WIRE, Fault.UNKNOWN_VALUE: _NO_WIRE, Fault.EXTRA_FIELD: _NO_WIRE,
    Fault.CLOCK_SKEW: _ONE_CLOCK, Fault.OMIT: _NO_STREAM,
}  # fmt: skip
_NOT_AT_A_DOOR = {
    Setup.WRONG_KEYS: _NO_KEYS, Setup.REVOKED_KEYS: _NO_KEYS, Setup.SECOND_CLIENT: _NO_CLIENTS,
    Setup.READ_ONLY: _NO_CLIENTS, Setup.BLOCKED: "its accounts cannot be blocked",
}  # fmt: skip
SIMULATED = {
    Call.LOOK: ("order", "open_orders", "execution_reports", "positions", "account"),
    Call.NEWS: ("execution_reports",),
}
ALPACA = {
    Call.SUBMIT: ("orders.submit",), Call.REPLACE: ("orders.replace",), Call.CANCEL: ("orders.cancel",),
    Call.LOOK: ("orders.list", "orders.get", "orders.by_client_order_id", "activities", "positions.list", "account"),
    Call.NEWS: ("stream",), Call.ANY: ("*",),
}  # fmt: skip
TWS = {
    Call.SUBMIT: ("orders.submit",), Call.REPLACE: ("orders.submit",), Call.CANCEL: ("orders.cancel",),
    Call.LOOK: ("orders.open", "orders.completed", "executions", "positions", "account"),
    Call.NEWS: ("stream",), Call.ANY: ("*",),
}  # fmt: skip


class RehearsedWorld(TradedWorld):
    """What all of them share; a subclass says where the venue is and how faults reach it."""

    nature: ClassVar[Nature]
    ops: ClassVar[Mapping[Call, tuple[str, ...]]]
    market: RemoteMarket

    def deliver(self, *bars: MarketBar) -> None:
        for bar in bars:
            self.clock.sleep_until(bar.end_at)
            self.market.on_bars([bar], self.clock.now())
        self.minute = max(self.minute, int((bars[-1].end_at - at(0)).total_seconds() // 60))

    def play(self, call: Call, fault: Fault, **details: Any) -> None:
        ops = self.ops.get(call, (call.value,))
        self.load(FaultScript(rules=tuple(rule(op, fault, self.details(call, fault, details)) for op in ops)))

    def details(self, call: Call, fault: Fault, given: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002
        return given

    def heal(self) -> None:
        self.load(FaultScript())

    def halt(self, minutes: int) -> None:
        self.market.halt(Halt("AAA", at(self.minute), at(self.minute + minutes)))

    @abstractmethod
    def load(self, script: FaultScript) -> None:
        """Begin a script."""

    def cut_news(self) -> None:
        """The next news do not come: the connection they would come by ends."""
        self.play(Call.NEWS, Fault.CLOSE)

    def listen(self) -> None:
        return

    def await_connection(self, times: int) -> None:  # noqa: ARG002
        return


class InProcess(RehearsedWorld):
    """The venue's file is what is durable; faults are played on the way to it."""

    nature = Nature(
        cannot=_OF_A_VENDOR | {Fault.REJECT_LATER: "in process it decides at once"},
        cannot_be_set_up=dict.fromkeys(Setup, "it is in the same process: there is nothing to set up"),
        lists_symbols=False,
    )
    ops = SIMULATED
    venue: SimulatedVenue

    def __init__(self, folder: Path) -> None:
        self.path, self.rules, self.faults = folder / "venue.db", VenueRules(), Faults()
        self.clock = StandingClock(SESSION.opens_at)
        self.minute = 0
        self.reopen()

    def load(self, script: FaultScript) -> None:
        self.faults.load(script)

    def cut_news(self) -> None:
        self.play(Call.NEWS, Fault.STALL)

    def halt(self, minutes: int) -> None:
        self.venue.halt(Halt("AAA", at(self.minute), at(self.minute + minutes)))

    def hang_up(self) -> None:
        self.venue.close()

    def reopen(self) -> None:
        if hasattr(self, "venue"):
            self.venue.close()
        self.venue = SimulatedVenue(self.path, self.rules)
        self.market = self.venue  # type: ignore[assignment]
        self.broker = FaultyBroker(SimulatedBroker(self.venue, self.clock), self.faults)

    def forget(self) -> None:
        """The broker has no files of its own."""
        self.reopen()

    def stranger(self) -> Broker:
        return SimulatedBroker(self.venue, self.clock)

    def set_up(self, setup: Setup) -> Broker:
        raise AssertionError(f"nobody can set it up: {setup}")

    def child(self) -> dict[str, Any]:
        return {"kind": "in_process", "path": str(self.path), "now": self.clock.now().isoformat()}


class AtItsDoor(RehearsedWorld):
    """The venue is another process, as far as the broker can tell."""

    nature = Nature(cannot=_OF_A_VENDOR, cannot_be_set_up=_NOT_AT_A_DOOR, lists_symbols=False)
    ops = SIMULATED
    broker: RemoteBroker

    def __init__(self, url: str, venue: SimulatedVenue, timeout_seconds: float) -> None:
        self.url, self.venue, self.timeout_seconds = url, venue, timeout_seconds
        clock = StandingClock(SESSION.opens_at)
        super().__init__(clock, RemoteBroker(url, clock, timeout_seconds), RemoteMarket(url))

    def load(self, script: FaultScript) -> None:
        self.market.play_faults(script)

    def cut_news(self) -> None:
        self.play(Call.NEWS, Fault.STALL)

    def hang_up(self) -> None:
        self.broker.close()

    def reopen(self) -> None:
        self.broker.close()
        self.broker = RemoteBroker(self.url, self.clock, self.timeout_seconds)

    def forget(self) -> None:
        """The broker has no files of its own."""
        self.reopen()

    def stranger(self) -> Broker:
        return RemoteBroker(self.url, self.clock)

    def set_up(self, setup: Setup) -> Broker:
        url = f"http://127.0.0.1:{a_closed_port()}" if setup is Setup.WRONG_PORT else f"{self.url}/elsewhere"
        return RemoteBroker(url, self.clock, self.timeout_seconds)

    def child(self) -> dict[str, Any]:
        return {"kind": "door", "url": self.url, "now": self.clock.now().isoformat()}


class AtAlpaca(RehearsedWorld):
    """Through alpaca-py, to a door that speaks Alpaca's protocol."""

    nature = Nature(
        cannot_be_set_up={
            Setup.SECOND_CLIENT: "any number of programs may use one key", Setup.READ_ONLY: "its keys can all trade",
        },
        legs_wait=True,
        replaces_partly_filled=False,
    )  # fmt: skip
    ops = ALPACA

    def __init__(self, world: AlpacaWorld) -> None:
        self._world, self.venue = world, world.venue
        self._news: AlpacaOrderNews | None = None
        super().__init__(world.clock, world.broker, world.market)

    def load(self, script: FaultScript) -> None:
        self._world.faults.load(script)

    def listen(self) -> None:
        rules = self._world.rules.model_copy(update={"stream_silence_seconds": HALF_A_MINUTE})
        self._news = AlpacaOrderNews(rules, AlpacaKeys.of(rules), on_news=_nothing, on_connected=_nothing)
        self._news.start()
        self.await_connection(1)

    def await_connection(self, times: int) -> None:
        news = self._news
        assert news is not None, "nobody listens"
        until(lambda: news.health().is_connected and news.health().connections >= times, 10.0)

    def hang_up(self) -> None:
        if self._news is not None:
            self._news.stop()
        self._world.broker.close()
        self._world.ids.close()

    def reopen(self) -> None:
        self.broker = self._world.restart(VenueIds(self._world.ids_path))

    def forget(self) -> None:
        self.broker = self._world.restart(VenueIds(None))

    def stranger(self) -> Broker:
        return AlpacaBroker(self._world.rules, self.clock, VenueIds(None), account="other")

    def set_up(self, setup: Setup) -> Broker:
        context, rules, keys = self._world.doors.door.context, self._world.rules, {}
        if setup is Setup.WRONG_KEYS:
            keys = {"key_id": SecretStr("PKOTHER"), "secret_key": SecretStr("whatever")}
        elif setup is Setup.REVOKED_KEYS:
            context.keys = {}
        elif setup is Setup.BLOCKED:
            context.rules = context.rules.model_copy(update={"account_blocked": True})
        elif setup is Setup.WRONG_PORT:
            rules = rules.model_copy(update={"trading_url": f"http://127.0.0.1:{a_closed_port()}"})
        else:
            rules = rules.model_copy(update={"trading_url": self._world.doors.control_url})
        return AlpacaBroker(rules.model_copy(update=keys), self.clock, VenueIds(None), account="demo")

    def child(self) -> dict[str, Any]:
        rules, (key_id, secret_key) = self._world.rules, self._world.doors.keys
        return {
            "kind": "alpaca", "path": str(self._world.ids_path), "now": self.clock.now().isoformat(),
            "key_id": key_id, "secret_key": secret_key, "trading_url": rules.trading_url,
        }  # fmt: skip


class AtTws(RehearsedWorld):
    """Through the client library that is installed, to a door that speaks TWS's protocol."""

    nature = Nature(
        cannot_be_set_up={
            Setup.WRONG_KEYS: "TWS is logged in already", Setup.REVOKED_KEYS: "TWS is logged in already",
            Setup.BLOCKED: "TWS says so in words only, with each refusal",
        },
    )  # fmt: skip
    ops = TWS

    def __init__(self, world: IbWorld, doors: ExitStack) -> None:
        self._world, self._doors, self.venue = world, doors, world.venue
        super().__init__(world.clock, world.broker, world.market)

    def load(self, script: FaultScript) -> None:
        self._world.market.play_faults(script)

    def details(self, call: Call, fault: Fault, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """A bracket is three messages: it is lost when all are; it is there, unheard of, once the last one is."""
        if call is not Call.SUBMIT:
            return given
        if fault in NOT_DONE:
            return {"times": 0, **given}
        return {"client_order_id": "*-t", **given}

    def listen(self) -> None:
        self.broker.account()

    def await_connection(self, times: int) -> None:
        until(lambda: self._world.broker.health().connections >= times, 10.0)

    def hang_up(self) -> None:
        self._world.broker.close()

    def reopen(self) -> None:
        self._world.restart()
        self.broker = self._world.broker

    def forget(self) -> None:
        self._world.restart(forget=True)
        self.broker = self._world.broker

    def stranger(self) -> Broker:
        return self._another(client_id=77)

    def set_up(self, setup: Setup) -> Broker:
        if setup is Setup.SECOND_CLIENT:
            self.broker.account()
            return self._another()
        if setup is Setup.WRONG_PORT:
            return self._another(port=a_closed_port())
        if setup is Setup.NOT_A_BROKER:
            return self._another(port=int(self._world.doors.control_url.rpartition(":")[2]))
        venue = SimulatedVenue(None, VenueRules())
        rules = ROOMY.model_copy(update={"read_only": True})
        return self._another(port=self._doors.enter_context(a_tws_door(venue, rules=rules)).port)

    def _another(self, **changes: object) -> Broker:
        rules = self._world.rules.model_copy(update=changes)
        broker = a_broker(rules, self.clock, self._world.files / f"another-{rules.client_id}-{rules.port}")
        self._doors.callback(broker.close)
        return broker

    def child(self) -> dict[str, Any]:
        rules = self._world.rules.model_dump(mode="json")
        return {"kind": "tws", "path": str(self._world.files), "now": self.clock.now().isoformat(), "rules": rules}


def _nothing() -> None:
    return


def a_closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def in_process(folder: Path, timeout_seconds: float) -> Iterator[InProcess]:
    world = InProcess(folder)
    yield world
    world.hang_up()


@contextmanager
def at_its_door(folder: Path, timeout_seconds: float) -> Iterator[AtItsDoor]:
    venue = SimulatedVenue(folder / "venue.db", VenueRules())
    with a_door(venue, Faults()) as url:
        world = AtItsDoor(url, venue, timeout_seconds)
        yield world
        world.hang_up()


@contextmanager
def at_alpaca(folder: Path, timeout_seconds: float) -> Iterator[AtAlpaca]:
    rules = AlpacaDoorRules(
        requests_per_minute=1_000_000, data_requests_per_minute=1_000_000, untradable=frozenset({"GONE"})
    )
    with an_alpaca_world(folder / "ids.db", door_rules=rules, timeout_seconds=timeout_seconds) as inner:
        world = AtAlpaca(inner)
        yield world
        world.hang_up()


@contextmanager
def at_tws(folder: Path, timeout_seconds: float) -> Iterator[AtTws]:
    venue = SimulatedVenue(None, VenueRules())
    rules = QUICK.model_copy(update={"timeout_seconds": timeout_seconds})
    with ExitStack() as doors:
        door = doors.enter_context(a_tws_door(venue, rules=ROOMY.model_copy(update={"symbols": SYMBOLS})))
        world = AtTws(IbWorld(door, venue, folder, rules), doors)
        yield world
        world.hang_up()
