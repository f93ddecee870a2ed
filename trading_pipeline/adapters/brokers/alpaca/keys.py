"""The keys of an Alpaca account, in one place: read when first needed, and anew after they were refused."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pydantic import SecretStr

from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import SettingsError

KEY_ID, SECRET_KEY = "TRADING_PIPELINE__BROKER__ALPACA__KEY_ID", "TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY"
Pair = tuple[SecretStr, SecretStr]


class AlpacaKeys:
    """Shared by all clients of one account. Shows no key in any text of its own.

    read: the settings as they are now; asked again after `refresh`, so that keys are swapped without a restart.
    """

    def __init__(self, read: Callable[[], AlpacaRules]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._pair: Pair | None = None
        self._seen: Pair | None = None

    @classmethod
    def of(cls, rules: AlpacaRules) -> AlpacaKeys:
        """The keys of these settings, until they are changed."""
        return cls(lambda: rules)

    def pair(self) -> tuple[str, str]:
        """Key id and secret as they are sent; raises SettingsError naming the variables when there are none."""
        with self._lock:
            if self._pair is None:
                rules = self._read()
                self._pair = self._seen = _required(rules.key_id, rules.secret_key)
            key_id, secret = self._pair
        return key_id.get_secret_value(), secret.get_secret_value()

    def change(self, key_id: SecretStr, secret_key: SecretStr) -> None:
        """Use other keys from the next request on."""
        with self._lock:
            self._pair = _required(key_id, secret_key)

    def refresh(self) -> None:
        """They were refused: take what the settings say now, if they say anything new."""
        with self._lock:
            rules = self._read()
            found = (rules.key_id, rules.secret_key)
            if found != self._seen and all(key.get_secret_value().strip() for key in found):
                self._pair = self._seen = found


def _required(key_id: SecretStr, secret_key: SecretStr) -> Pair:
    if not key_id.get_secret_value().strip() or not secret_key.get_secret_value().strip():
        raise SettingsError(
            f"no keys of an Alpaca account are set: set {KEY_ID} and {SECRET_KEY} (Alpaca's web page: Home, API Keys; "
            "paper accounts have keys of their own)"
        )
    return key_id, secret_key
