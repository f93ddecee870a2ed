"""Text that a terminal only shows: what would steer it, end a line or turn its direction is written out instead."""

from __future__ import annotations

import json
import unicodedata

STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of what is not shown but does something: escape codes, direction marks, line separators."""


def plain(text: str, *, keep: str = "") -> str:
    r"""The text with every steering character written as \x1b, \n, \u202e ...; `keep`: those that may stay."""
    return text if text.isprintable() else "".join(_shown(one) if _steers(one, keep) else one for one in text)


def plain_json(text: str) -> str:
    """JSON with every steering character but its own line breaks as a JSON escape: it reads back the same."""
    return text if text.isprintable() else "".join(json.dumps(one)[1:-1] if _steers(one, "\n") else one for one in text)


def _steers(one: str, keep: str) -> bool:
    return one not in keep and unicodedata.category(one) in STEERING


def _shown(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
