"""The relay in Dagster, for deployments without `up`: what nobody carries on is carried on from here."""

import dagster as dg

from trading_pipeline.defs.partitions import configured
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.wiring.relay import pass_if_idle

WATCHING = dg.DefaultSensorStatus.RUNNING if configured().automation.enabled else dg.DefaultSensorStatus.STOPPED


@dg.sensor(
    minimum_interval_seconds=29, default_status=WATCHING,
    description="Where no relay runs: numbers and signs the audit log and delivers alerts, one bounded pass each time.",
)  # fmt: skip
def relay_sensor(workspace: WorkspaceResource) -> dg.SkipReason:
    """One pass of the relay when nobody leads it; never beside one that lives, and never in the way of one."""
    with workspace.looked_into() as opened:
        try:
            became = pass_if_idle(opened)
        except TradingPipelineError as trouble:
            return dg.SkipReason(f"no pass was possible: {trouble}")
    if not became:
        return dg.SkipReason("a relay runs")
    return dg.SkipReason("; ".join(f"{name}: {trouble or 'done'}" for name, trouble in became.items()))


SENSORS = (relay_sensor,)
