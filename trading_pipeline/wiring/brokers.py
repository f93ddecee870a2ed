"""Brokers as configured: the one place that names their adapters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from trading_pipeline.adapters.brokers.bell import Bell
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import InputError, SettingsError
from trading_pipeline.ports import Clock
from trading_pipeline.settings import Settings
from trading_pipeline.wiring.venues import Connect, Line

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def broker_connection(settings: Settings, home: Path, reread: Callable[[], Settings]) -> Connect | None:
    """What connects to the configured broker; None for the simulated venue. Nothing is opened yet.

    reread: the settings as they are now, for keys that are swapped while it runs. Raises
    InputError when an address may not be spoken to in the configured mode, SettingsError when keys are missing.
    """
    if settings.broker.name == "alpaca":
        return _alpaca(settings, home, reread)
    return _ib(settings, home) if settings.broker.name == "ib" else None


def require_addresses(settings: Settings) -> None:
    """Raise InputError when the configured broker's address may not be spoken to in the configured mode, SettingsError
    when the keys are another mode's."""
    from trading_pipeline.adapters.brokers.alpaca import require_allowed

    if settings.broker.name == "alpaca":
        for url in (settings.broker.alpaca.trading_url, settings.broker.alpaca.trading_stream_url):
            require_allowed(url, settings.execution.mode)
        if faults := settings.broker.alpaca.key_faults(settings.execution.mode):
            raise SettingsError(f"the keys do not fit execution.mode {settings.execution.mode}: {'; '.join(faults)}")
    host = settings.broker.ib.host
    if settings.broker.name == "ib" and settings.execution.mode == "simulation" and host not in LOOPBACK:
        raise InputError(
            f"broker.ib.host is {host}, and execution.mode simulation stays on this machine: set it to 127.0.0.1, or "
            "execution.mode to paper"
        )


def is_live(settings: Settings) -> bool:
    """True where money is at stake."""
    return settings.execution.mode == "live"


def _alpaca(settings: Settings, home: Path, reread: Callable[[], Settings]) -> Connect:
    from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker, AlpacaKeys, AlpacaOrderNews

    rules = settings.alpaca
    require_addresses(settings)
    AlpacaKeys.of(rules).pair()

    def connect(clock: Clock, ends: ExitStack) -> Line:
        ids, keys = VenueIds(home / "alpaca-ids.sqlite3"), AlpacaKeys(lambda: reread().alpaca)
        ends.callback(ids.close)
        broker = AlpacaBroker(rules, clock, ids, account=settings.execution.account, keys=keys)
        ends.callback(broker.close)
        number = broker.check_account(settings.broker.account_id, is_live=is_live(settings))
        bell = Bell()
        news = AlpacaOrderNews(rules, keys, on_news=bell.ring, on_connected=bell.ring)
        news.start()
        ends.callback(news.stop)
        return Line(broker, lambda: news.health().connections, broker.restore, bell, broker.venue_now, number)

    return connect


def _ib(settings: Settings, home: Path) -> Connect:
    from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports

    rules = settings.broker.ib
    require_addresses(settings)

    def connect(clock: Clock, ends: ExitStack) -> Line:
        ids, told = VenueIds(home / "ib-ids.sqlite3"), ToldReports(home / "ib-reports.sqlite3")
        ends.callback(ids.close)
        ends.callback(told.close)
        broker = IbBroker(rules, clock, ids, told, settings.broker.account_id)
        ends.callback(broker.close)
        number = broker.check_account(settings.broker.account_id, is_live=is_live(settings))
        bell = Bell()
        ends.callback(broker.hear(bell.ring))
        return Line(broker, lambda: broker.health().connections, broker.restore, bell, broker.venue_now, number)

    return connect
