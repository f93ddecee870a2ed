"""Whether alerts reach anybody: somebody delivers them, the channels live, and people take notice."""

from __future__ import annotations

from trading_pipeline.domain.health import Finding, HealthRules, Level, ago
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.services.alerting.standing import AlertStanding
from trading_pipeline.services.health_facts import Look

LATE_SECONDS = 60.0
"""An alert that could have left so long ago and has not is late."""
SET_UP = "set one up, and try it: docs/alerts.md, trading-pipeline alerts test"
START = "start it: trading-pipeline relay run (`up` runs it too)"


def alerts(look: Look, _rules: HealthRules, _limits: RiskLimits) -> Finding:
    """A failure where no channel lives, or nobody delivers while somebody trades; a warning where one is dead, news is
    late or nobody takes notice."""
    standing = look.around.alerts
    if standing is None:
        return Finding(name="alerts", level=Level.WARN, says="not known: the database does not answer",
                       advice="see database")  # fmt: skip
    level, advice = _rated(look, standing)
    return Finding(
        name="alerts", level=level, says=_says(look, standing), advice=advice,
        threshold=f"late above {LATE_SECONDS:g} s",
        measured={
            "waiting": sum(standing.waiting.values()) + standing.untaken, "unacknowledged": standing.unacknowledged,
            "oldest_age_seconds": _age(look, standing), "channels_dead": len(standing.dead),
            "relay_leading": float(bool(standing.leader)),
        },
    )  # fmt: skip


def _rated(look: Look, standing: AlertStanding) -> tuple[Level, str]:
    if not standing.channels:
        is_serious = look.facts is not None and look.facts.is_above_simulation
        return (Level.WARN, SET_UP) if is_serious else (Level.OK, "")
    if len(standing.dead) == len(standing.channels):
        return Level.FAIL, "nobody is told of anything: trading-pipeline alerts channels, alerts test"
    is_late = _age(look, standing) > LATE_SECONDS
    if is_late and not standing.leader:
        return Level.FAIL if look.is_in_use else Level.WARN, START
    if standing.dead or is_late:
        return Level.WARN, "trading-pipeline alerts channels"
    if standing.unacknowledged:
        return Level.WARN, "trading-pipeline alerts list --open, alerts ack"
    return Level.OK, ""


def _says(look: Look, standing: AlertStanding) -> str:
    if not standing.channels:
        return "no channel: nobody hears of trouble; docs/alerts.md"
    states = ", ".join(
        f"{one.name} {'dead' if one.name in standing.dead else 'ok'}"
        + (f" ({waiting} wait)" if (waiting := standing.waiting.get(one.name)) else "")
        for one in standing.channels
    )
    oldest = f"; oldest due {ago(_age(look, standing))}" if standing.oldest_at else ""
    untaken = f"; {standing.untaken} not taken up" if standing.untaken else ""
    return f"{states}{oldest}{untaken}; {standing.unacknowledged} CRITICAL not acknowledged"


def _age(look: Look, standing: AlertStanding) -> float:
    return look.age(standing.oldest_at) if standing.oldest_at else 0.0
