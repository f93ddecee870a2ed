"""How requests to a vendor travel: never without a timeout, never faster than allowed, repeated only when that is safe.

The vendor's client library has neither timeouts nor a budget; both are put under it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from pyrate_limiter import Duration, Limiter, Rate
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

RETRIED = (429, 500, 502, 503, 504)
ATTEMPTS = 4


class PacedAdapter(HTTPAdapter):
    """Waits for its turn, then sends with a timeout. GETs are repeated when lost, throttled or failed, with back-off.

    A server that says when to come back (Retry-After) is believed.
    """

    def __init__(self, requests_per_minute: int, timeout_seconds: float) -> None:
        self._limiter = Limiter(Rate(requests_per_minute, Duration.MINUTE))
        self._timeout = timeout_seconds
        retries = Retry(
            total=ATTEMPTS, status_forcelist=RETRIED, allowed_methods={"GET"}, backoff_factor=0.5,
            respect_retry_after_header=True, raise_on_status=False,
        )  # fmt: skip
        super().__init__(max_retries=retries)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request when the budget allows."""
        self._limiter.try_acquire("request")
        return super().send(
            request, stream=stream, timeout=timeout or self._timeout, verify=verify, cert=cert, proxies=proxies
        )

    def close(self) -> None:
        """Give connections and the limiter's thread back."""
        self._limiter.close()
        super().close()


def pace(session: requests.Session, requests_per_minute: int, timeout_seconds: float) -> None:
    """Let every request of a session travel so, on one budget."""
    adapter = PacedAdapter(requests_per_minute, timeout_seconds)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
