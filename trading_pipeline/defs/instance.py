"""The local Dagster instance of a home folder: runs, events and schedules live in it, never in the source tree."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from trading_pipeline.adapters.dagster_home import ROOT, prepare_dagster_home
from trading_pipeline.defs.partitions import FIRST_PARTITION
from trading_pipeline.domain.errors import TradingPipelineError

__all__ = ["ROOT", "local_instance", "prepare_dagster_home", "report_raw_bars", "telling"]
log = logging.getLogger(__name__)


@contextmanager
def local_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The home's instance, open for the block. Raises TradingPipelineError when its storage fails (a full disk)."""
    folder = prepare_dagster_home(home)
    try:
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    except DBAPIError as error:
        raise TradingPipelineError(
            f"Dagster's record in {folder} cannot be written: {error.orig}. Check the disk's space and permissions, "
            "and run it again; what the pipeline itself recorded is safe."
        ) from error


@contextmanager
def telling(home: Path) -> Iterator[Callable[[dg.AssetMaterialization], None]]:
    """Gives what tells the home's instance of a materialisation outside any run; that it fails is only logged.

    For what must go on whatever happens to Dagster's record.
    """

    def tell(made: dg.AssetMaterialization) -> None:
        try:
            instance.report_runless_asset_event(made)
        except DBAPIError as error:
            log.warning("Dagster was not told of %s of %s: %s", made.asset_key.to_user_string(), made.partition, error)

    with local_instance(home) as instance:
        yield tell


def report_raw_bars(
    home: Path,
    sessions: Sequence[date],
    metadata: Mapping[str, str | int],
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Tell Dagster that bars of the sessions were stored: one materialisation of raw_bars per partition.

    on_progress(sessions told, sessions in all). Sessions before the first partition are left out.
    """
    known = [session for session in sessions if session >= FIRST_PARTITION]
    if not known:
        return
    with local_instance(home) as instance:
        for number, session in enumerate(known, start=1):
            instance.report_runless_asset_event(
                dg.AssetMaterialization("raw_bars", partition=session.isoformat(), metadata=dict(metadata))
            )
            if on_progress:
                on_progress(number, len(known))
