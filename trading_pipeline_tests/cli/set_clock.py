"""The command line with the clock set to another day: python -m trading_pipeline_tests.cli.set_clock SECONDS COMMAND

SECONDS: how far ahead of this machine's clock. Leases and logs go by this machine's.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

from trading_pipeline import wiring
from trading_pipeline.cli.app import main
from trading_pipeline_tests.hosts import SetClock

if __name__ == "__main__":
    clock, opens = SetClock(timedelta(seconds=float(sys.argv.pop(1)))), wiring.open_workspace

    def set_workspace(*given: Any, **options: Any) -> wiring.Workspace:
        """As the settings say, but for the clock."""
        return replace(opens(*given, **options), clock=clock)

    wiring.open_workspace = set_workspace
    main()
