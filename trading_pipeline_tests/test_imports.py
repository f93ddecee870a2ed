"""Importing is only importing: every module can be, alone and at any time, and reaches for nothing outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

IMPORT_ALL = """
import importlib, pkgutil, sys
reached, outside = [], {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "sqlite3.connect"}
def watch(event, arguments):
    if event in outside | {"os.mkdir"}:
        reached.append((event, str(arguments)[:200], sys._getframe(1).f_code.co_filename))
import trading_pipeline
names = [one.name for one in pkgutil.walk_packages(trading_pipeline.__path__, "trading_pipeline.")
         if not one.name.endswith("__main__") and ".migrations." not in one.name]
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
assert len(names) > 200, names
print(reached)
"""


def test_e45_every_module_can_be_imported_and_none_reaches_outside_while_it_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL], capture_output=True, text=True, cwd=tmp_path, timeout=200
    )  # fmt: skip

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
