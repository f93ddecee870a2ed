"""Operator verbs. Exit codes: 0 done, 1 a problem a person can act on, 2 wrong usage, 130 interrupted."""

from trading_pipeline.cli.app import main

__all__ = ["main"]
