"""What a fault does to an answer or a piece of news on its way out: other words, other instants, half of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from trading_pipeline.venue.faults import Fault, FaultRule

HTML_PAGE = (
    "<html>\n<head><title>504 Gateway Time-out</title></head>\n<body><center><h1>504</h1></center></body>\n</html>\n"
)
UNHEARD_OF = "zz_unheard_of"
_ENUMS = frozenset({"status", "asset_class", "class", "event", "type", "order_type", "activity_type", "order_class"})
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def distorted(body: Any, rule: FaultRule | None) -> Any:
    """`body` (what json.dumps takes) as the fault lets it through."""
    if rule is None or rule.fault not in _CHANGES:
        return body
    return _changed(body, _CHANGES[rule.fault], rule)


def torn(text: str) -> str:
    """The first half: no JSON any more."""
    return text[: max(len(text) // 2, 1)]


def _changed(body: Any, change: Callable[[dict[str, Any], FaultRule], dict[str, Any]], rule: FaultRule) -> Any:
    if isinstance(body, list):
        return [_changed(item, change, rule) for item in body]
    if isinstance(body, dict):
        return change({name: _changed(value, change, rule) for name, value in body.items()}, rule)
    return body


def _with_unheard_of_words(body: dict[str, Any], _: FaultRule) -> dict[str, Any]:
    return {name: UNHEARD_OF if name in _ENUMS and isinstance(value, str) else value for name, value in body.items()}


def _with_a_field_more(body: dict[str, Any], _: FaultRule) -> dict[str, Any]:
    return body | {"zz_new_field": "1"}


def _by_another_clock(body: dict[str, Any], rule: FaultRule) -> dict[str, Any]:
    return {name: _moved(value, rule.seconds) if isinstance(value, str) else value for name, value in body.items()}


def _moved(text: str, seconds: float) -> str:
    found = _INSTANT.fullmatch(text)
    if found is None:
        return text
    moved = datetime.fromisoformat(found[1]) + timedelta(seconds=round(seconds))
    return f"{moved.isoformat()}{found[2] or ''}{found[3]}"


_CHANGES = {
    Fault.UNKNOWN_VALUE: _with_unheard_of_words,
    Fault.EXTRA_FIELD: _with_a_field_more,
    Fault.CLOCK_SKEW: _by_another_clock,
}
