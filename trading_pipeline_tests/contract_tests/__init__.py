"""Contracts as tests: a failing assertion in them tells its values."""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("broker", "trades", "bad_input", "faults", "restarts", "care", "rehearsed"))
)
