"""Alerts of a home: who delivers them, through which channels, and who takes notice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from random import Random

from trading_pipeline.adapters.apprise_channels import AppriseChannel, open_channels
from trading_pipeline.adapters.clock import SteadyClock, SystemClock
from trading_pipeline.adapters.logs.redaction import REDACTOR
from trading_pipeline.adapters.logs.secrets import know_secrets
from trading_pipeline.domain.control import Lease
from trading_pipeline.services.alerting.deliverer import Deliverer
from trading_pipeline.services.alerting.lines import ThreadLine
from trading_pipeline.services.alerting.trial import Trial, try_lines
from trading_pipeline.settings import Settings
from trading_pipeline.wiring.workspace import Workspace


class AlertDesk:
    """The channels of this process, opened once whoever leads: one that hangs is not opened again and again."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @cached_property
    def lines(self) -> Mapping[str, ThreadLine]:
        """Of the channels that are enabled, in the order of escalation; a wrong address disturbs no other one."""
        return open_lines(self._workspace.settings, is_strict=False)

    def deliverer(self, lease: Lease) -> Deliverer:
        """Who delivers, for as long as the lease is held."""
        return Deliverer(
            self._workspace.ledger.fenced(lease), self._workspace.settings.alerts, self.lines, SteadyClock(),
            redact=REDACTOR, chance=Random(lease.token),  # noqa: S311  jitter, not a secret
        )  # fmt: skip


def open_lines(settings: Settings, *, is_strict: bool = True) -> Mapping[str, ThreadLine]:
    """A line to each channel that is enabled; nothing is sent. is_strict: see open_channels."""
    know_secrets(settings)
    rules = settings.alerts
    return {
        name: ThreadLine(channel, rules.channels[name].timeout_seconds)
        for name, channel in open_channels(rules, REDACTOR, is_strict=is_strict).items()
    }


def try_channels(settings: Settings, text: str) -> Mapping[str, Trial]:
    """A test message to each channel, past the queue; what became of it, by channel."""
    return try_lines(open_lines(settings, is_strict=False), SystemClock(), text=text, elapsed=time.monotonic)


def usable_channels(settings: Settings) -> int:
    """How many enabled channels have an address that is understood. Whether anybody reads there, nobody knows."""
    know_secrets(settings)
    found = open_channels(settings.alerts, REDACTOR, is_strict=False)
    return sum(isinstance(one, AppriseChannel) for one in found.values())
