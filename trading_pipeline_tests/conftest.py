"""Where the environment forbids to keep bytecode, as containers do, a run keeps it aside.

Otherwise each of the hundred processes that the tests start would compile all that it imports, for seconds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FORBIDDEN = "PYTHONDONTWRITEBYTECODE"
ASIDE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode"

if os.environ.pop(FORBIDDEN, ""):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(ASIDE)
