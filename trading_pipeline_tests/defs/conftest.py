"""Fixtures shared by the tests of this folder."""

from trading_pipeline_tests.traded_home import traded_home

__all__ = ["traded_home"]
