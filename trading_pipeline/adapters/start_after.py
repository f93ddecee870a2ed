"""Wait until something listens on a unix socket, then become a command:

python -m trading_pipeline.adapters.start_after SOCKET COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

BETWEEN_LOOKS_SECONDS = 0.2


def is_listened_on(path: Path) -> bool:
    """True when a process answers on the unix socket; False for none, and for the file of one that has ended."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def main() -> None:
    """Wait as long as it takes: whoever is waited for may be started again."""
    path, *command = sys.argv[1:]
    while not is_listened_on(Path(path)):
        time.sleep(BETWEEN_LOOKS_SECONDS)
    os.execv(command[0], command)  # noqa: S606  the caller's own command


if __name__ == "__main__":
    main()
