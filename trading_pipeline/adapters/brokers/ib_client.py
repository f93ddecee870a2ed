"""The client library of Interactive Brokers in a thread of its own: ib_async where it is installed, else ib_insync.

Both do their work on one asyncio event loop and take hold of the importing thread's loop already when they are
imported. So they are imported, and called, only in a thread made for them; everybody else waits outside, with a limit.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

T = TypeVar("T")
LIBRARIES = ("ib_async", "ib_insync")
"""By preference. ib_insync is archived; ib_async is its maintained successor with the same interface."""
NEW_YORK = "America/New_York"
GRACE_SECONDS = 5.0
"""What a call made inside may outlast its own limit before it is given up from outside."""


def library_name() -> str:
    """The client library that will be used; raises ImportError when neither is installed."""
    found = next((name for name in LIBRARIES if importlib.util.find_spec(name)), None)
    if found is None:
        raise ImportError(f"neither of {' and '.join(LIBRARIES)} is installed: install the locked requirements")
    return found


class IbThread:
    """A daemon thread that runs an event loop. `sdk` is the library, imported in it: touch it from inside only."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.sdk: Any = None
        self._failed: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failed is not None:
            raise self._failed

    def call(self, work: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
        """The result of work done inside. Raises TimeoutError, having cancelled it, when it takes longer."""
        future = self.start(work)
        try:
            return future.result(timeout_seconds)
        except FutureTimeout:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin work inside without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Do a last thing inside, cancel what still runs there, and end the thread; a second time does nothing."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(last)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(GRACE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.sdk = importlib.import_module(library_name())
        except ImportError as error:
            self._failed = error
            return
        finally:
            self._started.set()
        self.loop.run_forever()
        self._cancel_all()
        self.loop.close()

    def _cancel_all(self) -> None:
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
