"""`up` with three small processes in Dagster's place: python -m trading_pipeline_tests.cli.tiny_up HOME PORT"""

from __future__ import annotations

import sys
from pathlib import Path

from trading_pipeline.adapters.supervisor import Program
from trading_pipeline.cli import programs
from trading_pipeline.cli.output import complain
from trading_pipeline.cli.programs import Plan
from trading_pipeline.cli.up import keep_up
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.settings import Settings

PAGE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
print("a page, 100 % # ; of it", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""
FAMILY = """
import signal, subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-S", "-c", stubborn], start_new_session=True)
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
"""One that starts two others: one in a group of its own that ends for nothing but SIGKILL."""


class TinyPlan(Plan):
    """A page, a family of processes, and one that ends soon after each start."""

    def programs(self) -> tuple[Program, ...]:
        """In the order they are started."""
        python = (sys.executable, "-S", "-c")
        return (
            Program(name="page", command=(*python, PAGE, str(self.port)), steady_seconds=1),
            Program(name="family", command=(*python, FAMILY), steady_seconds=1),
            Program(name="fragile", command=(*python, "import time; time.sleep(0.3); raise SystemExit(3)")),
        )


if __name__ == "__main__":
    programs.MEANING.update(page="answers", family="has children", fragile="ends")
    try:
        keep_up(
            TinyPlan(home=Path(sys.argv[1]), settings=Settings(), port=int(sys.argv[2]), automation=True),
            patience_seconds=1,
        )
    except TradingPipelineError as error:
        raise SystemExit(complain(str(error))) from error
