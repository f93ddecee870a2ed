"""Which hosts may be spoken to in which mode. What is not listed is never spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from trading_pipeline.domain.errors import InputError

ALLOWED: Mapping[str, frozenset[str]] = {
    "simulation": frozenset(),
    "paper": frozenset({"paper-api.alpaca.markets", "data.alpaca.markets", "stream.data.alpaca.markets"}),
    "live": frozenset({"api.alpaca.markets", "data.alpaca.markets", "stream.data.alpaca.markets"}),
}
"""Hosts by execution.mode; loopback is allowed in every mode listed."""
ENCRYPTED = frozenset({"https", "wss"})
PLAIN = frozenset({"http", "ws"})


def require_allowed(url: str, mode: str) -> str:
    """The URL itself; raises InputError when its host may not be spoken to in that mode (`execution.mode`).

    Beyond loopback only encrypted, at the standard port, and without a user name in it.
    """
    parts = _parts(url)
    if mode not in ALLOWED:
        raise InputError(f"execution.mode {mode} is none: set it to {' or '.join(ALLOWED)}")
    if is_loopback(url):
        return url
    allowed = ALLOWED[mode]
    if parts.hostname not in allowed:
        raise InputError(
            f"{_shown(parts)} may not be spoken to in execution.mode {mode}: it allows "
            f"{', '.join([*sorted(allowed), 'this machine (127.0.0.1)'])}. Correct broker.alpaca in the settings"
        )
    if parts.scheme not in ENCRYPTED or parts.port not in {None, 443} or parts.username is not None:
        raise InputError(f"{_shown(parts)} must be https or wss, at the standard port, without a user name")
    return url


def is_loopback(url: str) -> bool:
    """True for this machine."""
    host = _parts(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.hostname and parts.scheme in ENCRYPTED | PLAIN and (parts.port or True)
    except ValueError:
        known = None
    if not known:
        raise InputError(f"{url.rpartition('@')[2]!r} is no URL of a broker: write https://host or wss://host")
    return parts


def _shown(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
