"""Real processes, quickly: forked from a clean one that has the imports done."""

from __future__ import annotations

import multiprocessing
import signal
from functools import lru_cache
from typing import Any

PRELOADED = [
    "trading_pipeline_tests.crash.trader", "trading_pipeline_tests.crash.doors", "trading_pipeline.adapters.calendar",
    "trading_pipeline.adapters.brokers.alpaca", "trading_pipeline.venue.alpaca.door",
    "trading_pipeline.adapters.brokers.ib", "trading_pipeline.venue.tws.door",
    "trading_pipeline_tests.contract_tests.trader",
]  # fmt: skip
"""What every process would import again, which takes seconds."""
LOST = 255
"""How a process ended, where the fork server lost it, which happens now and then."""
KILLED = frozenset({-signal.SIGKILL, LOST})


@lru_cache(maxsize=1)
def processes() -> Any:
    """Makes them: a context of multiprocessing. What runs in one is a function of a module, and its arguments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
