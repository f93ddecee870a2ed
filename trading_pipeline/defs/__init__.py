"""Dagster only: thin definitions over services."""

import warnings

from dagster import BetaWarning, PreviewWarning

for category in (BetaWarning, PreviewWarning):  # backfill policies; partitions of asset checks
    warnings.filterwarnings("ignore", category=category)
