"""Channels of alerts through Apprise: e-mail, SMS, Slack, Discord, webhooks and what else it knows."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType

from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.alerting import Message
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import ChannelFailed, ChannelRefused, SettingsError

KINDS = {
    AlertLevel.INFO: NotifyType.INFO,
    AlertLevel.WARNING: NotifyType.WARNING,
    AlertLevel.ERROR: NotifyType.FAILURE,
    AlertLevel.CRITICAL: NotifyType.FAILURE,
}
STATUS = re.compile(r"error=(\d{3})")
"""How Apprise ends what it says of an answer that is no success."""
USELESS = frozenset({400, 401, 403, 404, 405, 410, 413, 422})
"""HTTP answers that the same message would get again."""

logging.getLogger("apprise").addHandler(logging.NullHandler())
logging.getLogger("apprise").propagate = False  # it repeats parts of addresses; what matters is in the outcome


class AppriseChannel:
    """ports.alerting.AlertChannel of one Apprise URL. Every message goes through a service of its own.

    One that hangs in a thread that was left behind shares nothing with the next.
    """

    def __init__(self, name: str, url: str, timeout_seconds: float, redact: Callable[[str], str]) -> None:
        """redact: takes secrets out of what is said about a failure. Raises SettingsError, without the URL."""
        self._name, self._url, self._timeout, self._redact = name, url, timeout_seconds, redact
        self._service()

    @property
    def name(self) -> str:
        """As the settings call it."""
        return self._name

    def send(self, message: Message) -> None:
        """Hand it over as plain text; see ports.alerting.AlertChannel."""
        sender = Apprise(asset=_asset())
        sender.add(self._service())
        result = sender.notify(
            body=message.body, title=message.title, notify_type=KINDS[message.level], body_format=NotifyFormat.TEXT
        )
        if not result:
            raise self._failure(" ".join(entry.message for entry in result.logs()))

    def _service(self) -> NotifyBase:
        service = Apprise.instantiate(self._url, asset=_asset())
        if not isinstance(service, NotifyBase):
            raise SettingsError(
                f"alerts.channels.{self._name}.url is no address that Apprise understands. Correct TRADING_PIPELINE__"
                f"ALERTS__CHANNELS__{self._name.upper()}__URL; how each service writes it: docs/alerts.md"
            )
        service.socket_connect_timeout = service.socket_read_timeout = self._timeout
        service.request_rate_per_sec = 0  # the deliverer keeps the channel's rate, and knows what waits
        return service

    def _failure(self, words: str) -> ChannelFailed:
        """What Apprise says of it. A server's answer is certain; after a broken connection it may have arrived."""
        told = self._redact(words or "it was not taken, without a word why")
        status = STATUS.search(words)
        if status is None:
            return ChannelFailed(told, may_have_arrived=True)
        return ChannelRefused(told) if int(status.group(1)) in USELESS else ChannelFailed(told)


def open_channels(rules: AlertRules, redact: Callable[[str], str]) -> Mapping[str, AppriseChannel]:
    """Those that are enabled, in the order of escalation; nothing is sent. Raises SettingsError for a wrong address."""
    return {
        name: AppriseChannel(
            name, rules.channels[name].url.get_secret_value(), rules.channels[name].timeout_seconds, redact
        )
        for name in rules.in_order()
    }


def _asset() -> AppriseAsset:
    """No thread of Apprise's own, nothing written to disk, no redirect that would drop the message and say 200."""
    return AppriseAsset(
        async_mode=False, service_timeout=0, app_id="trading-pipeline", app_desc="Trading pipeline alerts",
        http_redirects=False, pgp_autogen=False, pem_autogen=False, interpret_emojis=False, storage_mode="memory",
    )  # fmt: skip
