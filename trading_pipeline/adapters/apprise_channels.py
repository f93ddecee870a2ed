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
BROKEN = "Socket Exception"
"""How Apprise begins what it says of a broken connection, among much else that is left out."""
NEVER_LEFT = (
    (re.compile("Connection refused"), "nobody listens there"),
    (re.compile("Name or service not known|name resolution|getaddrinfo|NameResolution"), "its name is not known"),
    (re.compile("No route to host|Network is unreachable"), "there is no way to it"),
    (re.compile("CERTIFICATE_VERIFY_FAILED"), "its certificate is not trusted"),
    (re.compile("WRONG_VERSION_NUMBER|STARTTLS extension not supported"), "it speaks no TLS there"),
)
"""What a broken connection says when the message has certainly not been handed over."""
LOGIN_REFUSED = frozenset({"530", "534", "535", "550", "553"})
LOUD = frozenset({"WARNING", "ERROR", "CRITICAL"})
MAIL_ANSWER = re.compile(r"\(([45]\d\d), ")

log = logging.getLogger(__name__)
logging.getLogger("apprise").addHandler(logging.NullHandler())
logging.getLogger("apprise").propagate = False  # it repeats parts of addresses; what matters is in the outcome
logging.getLogger("apprise").setLevel(logging.DEBUG)  # else it keeps to itself why a connection broke


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
            body=message.body, title=message.title, notify_type=KINDS[message.level], body_format=NotifyFormat.TEXT,
            log_level=logging.DEBUG,
        )  # fmt: skip
        if not result:
            said = [(entry.level, entry.message) for entry in result.logs()]
            broken = " ".join(words for _, words in said if words.startswith(BROKEN))
            raise self._failure(" ".join(words for level, words in said if level in LOUD), broken)

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

    def _failure(self, words: str, broken: str) -> ChannelFailed:
        """What Apprise says of it. A server's answer is certain; after a broken connection it may have arrived.

        broken: what the socket said, which is not passed on: it repeats addresses.
        """
        told = self._redact(words or "it was not taken, without a word why")
        status, answer = STATUS.search(words), MAIL_ANSWER.search(broken)
        if status is not None:
            return ChannelRefused(told) if int(status.group(1)) in USELESS else ChannelFailed(told)
        if answer is not None:
            told = f"{told}: the mail server answered {answer.group(1)}"
            return ChannelRefused(told) if answer.group(1) in LOGIN_REFUSED else ChannelFailed(told)
        why = next((why for pattern, why in NEVER_LEFT if pattern.search(broken)), "")
        return ChannelFailed(f"{told}: {why}" if why else told, may_have_arrived=not why)


class UnusableChannel:
    """ports.alerting.AlertChannel of an address that nobody understands: it takes nothing and says why, so that it
    counts as dead, others are told in its place, and what waits for it leaves once the address is right."""

    def __init__(self, name: str, words: str) -> None:
        self._name, self._words = name, words

    @property
    def name(self) -> str:
        """As the settings call it."""
        return self._name

    def send(self, message: Message) -> None:  # noqa: ARG002
        """Nothing leaves; see ports.alerting.AlertChannel."""
        raise ChannelFailed(self._words)


def open_channels(
    rules: AlertRules, redact: Callable[[str], str], *, is_strict: bool = True
) -> Mapping[str, AppriseChannel | UnusableChannel]:
    """Those that are enabled, in the order of escalation; nothing is sent.

    Raises SettingsError for a wrong address; not is_strict: that one is unusable, and the others are not touched by it.
    """
    found = dict[str, AppriseChannel | UnusableChannel]()
    for name in rules.in_order():
        channel = rules.channels[name]
        try:
            found[name] = AppriseChannel(name, channel.url.get_secret_value(), channel.timeout_seconds, redact)
        except SettingsError as error:
            if is_strict:
                raise
            log.error("%s", error)  # noqa: TRY400
            found[name] = UnusableChannel(name, str(error))
    return found


def _asset() -> AppriseAsset:
    """No thread of Apprise's own, nothing written to disk, no redirect that would drop the message and say 200."""
    return AppriseAsset(
        async_mode=False, service_timeout=0, app_id="trading-pipeline", app_desc="Trading pipeline alerts",
        http_redirects=False, pgp_autogen=False, pem_autogen=False, interpret_emojis=False, storage_mode="memory",
    )  # fmt: skip
