"""Secrets taken out of texts by their value, however they got there: plain, encoded, or broken over lines."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from urllib.parse import quote, quote_plus

from trading_pipeline.adapters.logs.plain import plain

REDACTED = "[redacted]"
SHORTEST = 6
"""A shorter secret is no secret, and taking it out by value would leave no text whole."""
LIKE_A_WORD = 12
"""A secret of fewer letters and nothing else is taken out only where it stands alone: `postgres`, not PostgreSQL."""
SHORTEST_CORE = 8
GAP = r"(?:\\[nrt]|\s)*"
GAPS = re.compile(r"\\[nrt]|\s")


class Redactor:
    """Knows the secrets of this process. Used from several threads; learning one again changes nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, *secrets: str) -> None:
        """From now on these are taken out; what is shorter than 6 characters is not."""
        new = {secret for secret in secrets if len(secret.strip()) >= SHORTEST} - self._secrets
        if not new:
            return
        with self._lock:
            self._secrets |= new
            forms = {form for secret in self._secrets for form in forms_of(secret)}
            ordered = sorted(forms, key=lambda form: (-len(form), form))
            self._forms = tuple({GAPS.sub("", form).casefold(): None for form in ordered})
            self._pattern = re.compile("|".join(map(_spread, ordered)), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text without any secret known so far."""
        pattern = self._pattern
        if pattern is None or not self._may_hold_one(text):
            return text
        return pattern.sub(REDACTED, text)

    def _may_hold_one(self, text: str) -> bool:
        squeezed = GAPS.sub("", text).casefold()
        return any(form in squeezed for form in self._forms)


def forms_of(secret: str) -> Iterator[str]:
    """How a secret may stand in a text: as it is, and as URLs, JSON, Python, HTML, base64 and hex write it."""
    yield secret
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    yield html.escape(secret)
    raw = secret.encode()
    yield from (form for offset in range(3) for form in _base64_cores(raw, offset))
    if len(raw) >= SHORTEST_CORE:
        yield raw.hex()


def _base64_cores(raw: bytes, offset: int) -> Iterator[str]:
    """What of the base64 of anything that holds `raw`, from a byte with that offset from a multiple of three on, is
    the same whatever stands around it: so `user:SECRET` of basic authentication is found too."""
    padded = bytes(offset) + raw
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(padded).decode().rstrip("=")
        core = text[(0, 2, 3)[offset] : len(text) - (len(padded) % 3 > 0)]
        if len(core) >= SHORTEST_CORE:
            yield core


def _spread(form: str) -> str:
    pattern = GAP.join(re.escape(character) for character in GAPS.sub("", form))
    if len(form) < LIKE_A_WORD and form.isalpha():
        return rf"(?<![^\W\d_]){pattern}(?![^\W\d_])"
    return pattern


REDACTOR = Redactor()
"""Of this process: logs, the terminal and tracebacks all go through it."""


def tell_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A sys.excepthook: the usual traceback on stderr, without secrets."""
    sys.stderr.write(plain(REDACTOR("".join(traceback.format_exception(kind, error, trace))), keep="\n"))
