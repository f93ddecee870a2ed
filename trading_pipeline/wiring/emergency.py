"""What the kill switch works with: the venue itself, past the session loop, with nothing of this home in between."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trading_pipeline.adapters.brokers.recorded import RecordedBroker
from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.adapters.clock import ReplayClock, SystemClock
from trading_pipeline.domain.breaker import Trip
from trading_pipeline.domain.errors import DataFileError, HomeInUseError, SettingsError
from trading_pipeline.ports import Clock
from trading_pipeline.services.flattening import with_what_stands
from trading_pipeline.services.kill import Hand, Means
from trading_pipeline.services.latch import Latched
from trading_pipeline.services.trading_state import record_word
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import rules_from
from trading_pipeline.wiring.brokers import is_live, require_addresses

if TYPE_CHECKING:
    from trading_pipeline.wiring.workspace import Workspace

log = logging.getLogger(__name__)
LOOKING_ON = 500
"""Added to the client id at Interactive Brokers where the loop holds its own."""
ONE_DAY = timedelta(days=1)


def kill_means(workspace: Workspace, venue_url: str | None = None, *, patience_seconds: float = 10.0) -> Means:
    """Everything a kill needs; the ledger is opened only when the record is written."""
    clock = SystemClock()
    return Means(
        account=workspace.settings.execution.account, session=workspace.calendar.session_of(clock.now()),
        latch=workspace.latch, clock=clock, elapsed=time.monotonic, sleep=time.sleep,
        venue=partial(_hand, workspace, venue_url), record=partial(_record, workspace, workspace.latch.look()),
        patience_seconds=patience_seconds,
    )  # fmt: skip


def _record(workspace: Workspace, before: Latched, trip: Trip) -> None:
    with workspace.ledger.transaction() as tx:
        record_word(tx, with_what_stands(tx, before, trip))


@contextmanager
def _hand(workspace: Workspace, venue_url: str | None) -> Iterator[Hand]:
    with ExitStack() as ends:
        if venue_url:
            yield _of_process(workspace, venue_url, ends)
        elif workspace.settings.broker.name == "alpaca":
            yield _of_alpaca(workspace, ends)
        elif workspace.settings.broker.name == "ib":
            yield _of_ib(workspace, ends)
        else:
            yield _of_own_venue(workspace, ends)


def _is_open(workspace: Workspace, now: datetime) -> bool:
    times = workspace.calendar.times(workspace.calendar.session_of(now))
    return times.opens_at <= now < times.closes_at


def _of_process(workspace: Workspace, url: str, ends: ExitStack) -> Hand:
    """A venue process goes by its own time where it runs a stored session; it hears us, who lead nobody."""
    with closing(RemoteMarket(url)) as market:
        clock = _nearest(market.watched().now)
    broker = RemoteBroker(url, clock)
    ends.callback(broker.close)
    return Hand(broker, is_open=_is_open(workspace, clock.now()))


def _nearest(theirs: datetime) -> Clock:
    """The machine's clock, unless the venue's time is that of another day."""
    now = SystemClock().now()
    return SystemClock() if abs(now - theirs) < ONE_DAY else ReplayClock(theirs)


def _of_own_venue(workspace: Workspace, ends: ExitStack) -> Hand:
    """A venue inside the session loop can only be reached by that loop; without one it is opened here."""
    try:
        ends.enter_context(workspace.exclusive("trading"))
    except HomeInUseError:
        broker = RecordedBroker(workspace.ledger, workspace.settings.execution.account)
        return Hand(broker, owner="the session loop (it has the venue in it)")
    venue = SimulatedVenue(workspace.home / "venue.sqlite3", rules_from(workspace.settings))
    ends.callback(venue.close)
    clock = _nearest(venue.seen_until())
    return Hand(SimulatedBroker(venue, clock), is_open=_is_open(workspace, clock.now()))


def _of_alpaca(workspace: Workspace, ends: ExitStack) -> Hand:
    """Over REST alone: the account's one stream stays the loop's."""
    from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker, AlpacaKeys

    settings = workspace.settings
    require_addresses(settings)
    rules, clock, ids = settings.alpaca, SystemClock(), _copied_ids(workspace.home / "alpaca-ids.sqlite3", ends)
    broker = AlpacaBroker(rules, clock, ids, account=settings.execution.account, keys=AlpacaKeys.of(rules))
    ends.callback(broker.close)
    broker.check_account(settings.broker.account_id, is_live=is_live(settings))
    return Hand(broker, is_open=_is_open(workspace, clock.now()))


def _copied_ids(path: Path, ends: ExitStack) -> VenueIds:
    """What the loop knows of its orders' ids, without its file in hand; nothing where that cannot be read now."""
    try:
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="trading-pipeline-"))
        copy = Path(folder) / path.name
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2)) as ours,
            closing(sqlite3.connect(copy)) as theirs,
        ):  # fmt: skip
            ours.backup(theirs)
        ids = VenueIds(copy)
    except (OSError, sqlite3.Error, DataFileError) as error:
        log.info("the file of ids is not used: %s", error)
        ids = VenueIds(None)
    ends.callback(ids.close)
    return ids


def _of_ib(workspace: Workspace, ends: ExitStack) -> Hand:
    """As the loop's own client, which alone may cancel its orders; while that is in use, only to look on."""
    from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports

    settings = workspace.settings
    require_addresses(settings)
    own, clock = settings.broker.ib, SystemClock()
    for rules in (own, own.model_copy(update={"client_id": own.client_id + LOOKING_ON})):
        ids, told = VenueIds(None), ToldReports(None)
        broker = IbBroker(rules, clock, ids, told, settings.broker.account_id)
        try:
            broker.check_account(settings.broker.account_id, is_live=is_live(settings))
        except SettingsError as error:
            broker.close()
            if "in use" not in str(error) or rules is not own:
                raise
            continue
        ends.callback(broker.close)
        owner = "" if rules is own else f"the process that is connected as client {own.client_id}"
        return Hand(broker, owner=owner, is_open=_is_open(workspace, clock.now()))
    raise AssertionError("one of two clients was made, or said why not")
