"""Whether the audit log keeps up: entries are numbered, and signed in time."""

from __future__ import annotations

from trading_pipeline.domain.health import Finding, HealthRules, Level, ago
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.services.health_facts import Look

START = "start it: trading-pipeline relay run (`up` runs it too)"


def audit(look: Look, _rules: HealthRules, _limits: RiskLimits) -> Finding:
    """A warning where entries wait and nobody numbers them; a failure where they wait for too long while somebody
    trades or `up` runs."""
    standing = look.around.audit
    if standing is None:
        return Finding(name="audit", level=Level.WARN, says="not known: the database does not answer",
                       advice="see database")  # fmt: skip
    at = standing.checkpoint_at
    said = f"checkpoint {standing.checkpoint}, {ago(look.age(at))}" if at else "no checkpoint yet"
    is_late = standing.is_overdue(look.now, look.around.audit_overdue_seconds)
    level, advice = Level.OK, ""
    if is_late and look.is_in_use:
        level, advice = (
            Level.FAIL,
            "trading-pipeline logs says why the relay signs nothing" if standing.leader else START,
        )
    elif is_late or (standing.waiting and not standing.leader):
        level, advice = Level.WARN, "see logs/" if standing.leader else START
    who = "" if standing.leader or not standing.waiting else "; nobody numbers them"
    return Finding(
        name="audit", level=level, says=f"{said}; {standing.waiting} entries wait{who}", advice=advice,
        threshold=f"without a checkpoint above {look.around.audit_overdue_seconds:g} s",
        measured={
            "waiting": standing.waiting, "checkpoint": standing.checkpoint, "entries": standing.entries,
            "checkpoint_age_seconds": look.age(at) if at else None, "relay_leading": float(bool(standing.leader)),
            "open_age_seconds": look.age(standing.open_since) if standing.open_since else 0.0,
        },
    )  # fmt: skip
