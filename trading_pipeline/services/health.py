"""How well the pipeline is, judged from one look: each thing with its level, its threshold and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.health import Finding, HealthReport, HealthRules, Level, ago, rated, rated_low
from trading_pipeline.domain.processes import ProcessPhase
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.health_alerts import alerts
from trading_pipeline.services.health_audit import audit
from trading_pipeline.services.health_facts import Facts, Look

GIGABYTE = 1_000_000_000
ABOUT: Mapping[str, str] = {
    Trigger.STALE_DATA: "feed", Trigger.LATENCY: "broker", Trigger.VENUE_SILENT: "broker", Trigger.CLOCK_SKEW: "clock"
}  # fmt: skip
"""Which finding a standing condition of the breaker belongs to."""
CLOSING = "all positions are to be closed, and are not known to be yet"
NOT_KNOWN = "not known: the database does not answer"
Judge = Callable[[Look, HealthRules, RiskLimits], Finding]
FactJudge = Callable[[Look, Facts, HealthRules, RiskLimits], Finding]


def judge(look: Look, rules: HealthRules, limits: RiskLimits) -> HealthReport:
    """Everything looked at, what stops trading first."""
    return HealthReport(look.now, tuple(_with_conditions(look, one(look, rules, limits)) for one in JUDGES.values()))


def _with_conditions(look: Look, finding: Finding) -> Finding:
    """What the loop itself measures, and holds entries back for, is a warning of the thing it is about."""
    causes = look.around.control.causes if look.around.control else ()
    standing = [one.words for one in causes if one.kind == "condition" and ABOUT.get(one.name) == finding.name]
    if not standing:
        return finding
    return replace(
        finding, level=max(finding.level, Level.WARN, key=lambda level: level.severity),
        says="; ".join([finding.says, *standing]),
        advice=finding.advice or "entries wait, and leave again by themselves once it is over",
    )  # fmt: skip


def _by_record(name: str, judged: FactJudge) -> Judge:
    """What only the record can tell; a warning while the database does not answer."""

    def ask(look: Look, rules: HealthRules, limits: RiskLimits) -> Finding:
        if look.facts is None:
            return Finding(name=name, level=Level.WARN, says=NOT_KNOWN, advice="see database")
        return judged(look, look.facts, rules, limits)

    return ask


def _database(look: Look, _rules: HealthRules, _limits: RiskLimits) -> Finding:
    level, says = (Level.FAIL, look.trouble) if look.facts is None else (Level.OK, "answers")
    advice = "" if look.facts else "stops stay at the venue. Bring it back, or restore: trading-pipeline db restore"
    measured = {"up": float(look.facts is not None)}
    return Finding(name="database", level=level, says=says, advice=advice, measured=measured)


def _loop(look: Look, facts: Facts, rules: HealthRules, _limits: RiskLimits) -> Finding:
    lease, since = facts.lease, last_sign(facts)
    age = look.age(since) if since else None
    is_led = lease is not None and lease.is_live(look.now)
    level, advice = Level.OK, ""
    if look.in_session and since is not None and age is not None and is_begun(facts):
        level = rated(abs(age), rules.heartbeat_seconds)
        advice = "start it again: trading-pipeline session run (stops stay at the venue)"
    elif look.in_session and not is_led:
        level, advice = Level.WARN, "nobody trades this session: trading-pipeline up, or trading-pipeline session run"
    who = f"{lease.holder} leads, " if lease and is_led else "nobody leads, "
    says = "nobody has led yet" if age is None else f"{who}last sign of life {ago(age)}"
    return Finding(
        name="loop", level=level, says=says, threshold=_above(rules.heartbeat_seconds, "s"),
        advice=advice if level is not Level.OK else "",
        measured={"leading": float(is_led), "heartbeat_age_seconds": age, "lease_token": lease.token if lease else 0},
    )  # fmt: skip


def is_begun(facts: Facts) -> bool:
    """True when the session was begun and is not closed: somebody has to guard it."""
    return facts.record is not None and facts.record.phase is SessionPhase.RUNNING


def last_sign(facts: Facts) -> datetime | None:
    """When the loop was last heard of; None when nobody ever led."""
    return facts.lease.heartbeat_at if facts.lease else None


def _broker(look: Look, facts: Facts, rules: HealthRules, _limits: RiskLimits) -> Finding:
    """Whoever leads compares record and venue every half minute: that the venue answered then is the evidence."""
    led = facts.lease is not None and facts.lease.is_live(look.now)
    since = facts.reconciled_at
    age = look.age(since) if since and led else None
    connected = None if age is None else float(age <= rules.reconcile_age_seconds[1])
    measured = {"connected": connected}
    if not led:
        says = "nobody is connected: no session loop runs"
        level = Level.FAIL if look.in_session and is_begun(facts) else Level.OK
        return Finding(name="broker", level=level, says=says, advice="see loop" if level is Level.FAIL else "",
                       measured=measured)  # fmt: skip
    if age is None:
        return Finding(name="broker", level=Level.OK, says="not asked yet", measured=measured)
    level = rated(age, rules.reconcile_age_seconds) if look.in_session else Level.OK
    return Finding(
        name="broker", level=level, says=f"answered {ago(age)}", measured=measured,
        threshold=_above(rules.reconcile_age_seconds, "s"),
        advice="check its status page and the line; stops stay with it" if level is not Level.OK else "",
    )  # fmt: skip


def _trading(look: Look, _rules: HealthRules, _limits: RiskLimits) -> Finding:
    """By record and latch file; the file tells even while the database does not answer."""
    control = look.around.control
    if control is None:
        return Finding(name="trading", level=Level.WARN, says=NOT_KNOWN, advice="see database")
    is_open = control.state.allows_entries
    causes = "; ".join([f"{cause.words} ({cause.name})" for cause in control.causes] + [CLOSING] * control.flattens)
    resume = "when it is safe: trading-pipeline resume --reason TEXT --operator NAME"
    if control.flattens:
        resume = "wait until all is closed, before anybody resumes: trading-pipeline positions"
    advice = resume if control.is_latched else "lifts by itself once what caused it is over"
    return Finding(
        name="trading", level=Level.OK if is_open else Level.WARN,
        says=f"{control.state.value}: {causes}" if causes else control.state.value, advice="" if is_open else advice,
        measured={"allowed": float(is_open)},
    )  # fmt: skip


def _blocked(_look: Look, facts: Facts, _rules: HealthRules, _limits: RiskLimits) -> Finding:
    level = Level.WARN if facts.blocks else Level.OK
    return Finding(
        name="blocks", level=level, says=", ".join(facts.blocks) or "none",
        advice="see why: trading-pipeline risk show" if facts.blocks else "", measured={"count": len(facts.blocks)},
    )  # fmt: skip


def _feed(look: Look, rules: HealthRules, _limits: RiskLimits) -> Finding:
    """The newest bar by the recorder of the stream, else by what is stored."""
    stream, stored = look.around.stream, look.around.bars_until
    ends = [end for end in (stream.closed_until if stream else None, stored) if end is not None]
    age = look.age(max(ends)) if ends else None
    bar = look.around.bar_minutes * 60
    edges = (rules.feed_age_seconds[0] + bar, rules.feed_age_seconds[1] + bar)
    measured = {"age_seconds": age if look.in_session else None}
    threshold = _above(edges, "s")
    if not look.in_session:
        return Finding(name="feed", level=Level.OK, says=_closed(look), threshold=threshold, measured=measured)
    waited = look.age(look.times.opens_at) if age is None else age
    level = rated(max(waited, 0.0), edges)
    says = f"newest bar ended {ago(age)}" if age is not None else "no bar of this session yet"
    if stream is not None and (not stream.is_connected or stream.is_stale):
        level = max(level, Level.WARN, key=lambda one: one.severity)
        says += f"; stream {'stale' if stream.is_connected else 'disconnected'} {stream.problem}".rstrip()
    return Finding(
        name="feed", level=level, says=says, threshold=threshold, measured=measured,
        advice="trading-pipeline data stream PROVIDER; no entry leaves on old prices" if level is not Level.OK else "",
    )  # fmt: skip


def _closed(look: Look) -> str:
    times = look.times
    when = "opens" if look.now < times.opens_at else "was over"
    at = times.opens_at if look.now < times.opens_at else times.closes_at
    return f"the market is closed: session {times.session} {when} {at:%Y-%m-%d %H:%M} UTC"


def _aged(name: str, instant_of: Callable[[Facts], datetime | None], edges_of: str, job: str) -> FactJudge:
    """Research that grows old while the session runs; before the first is due it is waited for since the open."""

    def ask(look: Look, facts: Facts, rules: HealthRules, _limits: RiskLimits) -> Finding:
        at, edges = instant_of(facts), getattr(rules, edges_of)
        age = look.age(at) if at else None
        waited = look.age(max(at, look.times.opens_at) if at else look.times.opens_at)
        level = rated(waited / 60, edges) if look.in_session and _is_expected(look) else Level.OK
        return Finding(
            name=name, level=level, says=f"{at:%Y-%m-%d %H:%M} UTC, {ago(age or 0.0)}" if at else "none yet",
            threshold=_above(edges, "min"), advice=f"launch {job} in Dagster" if level is not Level.OK else "",
            measured={"age_seconds": age},
        )  # fmt: skip

    return ask


def _is_expected(look: Look) -> bool:
    """True when somebody trades this session, or `up` runs: then research has to keep coming."""
    return (look.facts is not None and is_begun(look.facts)) or bool(look.around.processes)


def _regime(_look: Look, facts: Facts, _rules: HealthRules, limits: RiskLimits) -> Finding:
    score = facts.regime_score
    is_hostile = score is not None and score < limits.hostile_regime_score
    return Finding(
        name="regime", level=Level.OK, says="none yet" if score is None else f"score {score:.0f} of 100",
        threshold=f"below {limits.hostile_regime_score:g}: hostile", measured={"score": score},
        advice="hostile: entries are held back or cut, as set in hostile_regime" if is_hostile else "",
    )  # fmt: skip


def _positions(_look: Look, facts: Facts, _rules: HealthRules, limits: RiskLimits) -> Finding:
    return Finding(
        name="positions", level=Level.OK, says=f"{facts.positions} open", measured={"open": facts.positions},
        threshold=f"at most {limits.max_open_positions}",
    )  # fmt: skip


def _risk(_look: Look, facts: Facts, rules: HealthRules, limits: RiskLimits) -> Finding:
    if not facts.equity_usd or facts.equity_usd <= 0:
        return Finding(name="risk", level=Level.OK, says="no equity on record yet", measured={"open_ratio": None})
    share, most = facts.open_risk_usd / facts.equity_usd, limits.max_open_risk_fraction
    level = rated(float(share / most), rules.open_risk_share)
    return Finding(
        name="risk", level=level, says=f"{float(share):.2%} of equity would be lost at the stops",
        threshold=f"at most {float(most):.2%}", advice="trading-pipeline risk show" if level is not Level.OK else "",
        measured={"open_ratio": float(share), "equity_usd": float(facts.equity_usd)},
    )  # fmt: skip


def _reconcile(look: Look, facts: Facts, rules: HealthRules, _limits: RiskLimits) -> Finding:
    at = facts.reconciled_at
    age = look.age(at) if at else None
    led = facts.lease is not None and facts.lease.is_live(look.now)
    level = rated(age, rules.reconcile_age_seconds) if look.in_session and led and age is not None else Level.OK
    return Finding(
        name="reconcile", level=level, says=ago(age) if age is not None else "never yet",
        threshold=_above(rules.reconcile_age_seconds, "s"), measured={"age_seconds": age},
        advice="no entry leaves until it passes: trading-pipeline reconcile" if level is not Level.OK else "",
    )  # fmt: skip


def _queues(look: Look, facts: Facts, rules: HealthRules, _limits: RiskLimits) -> Finding:
    waits = look.age(facts.unsent_since) if facts.unsent_since else 0.0
    level = rated(waits, rules.unsent_seconds) if look.in_session else Level.OK
    level = max(level, Level.WARN if facts.in_doubt else Level.OK, key=lambda one: one.severity)
    queues = facts.queues | ({"audit": look.around.audit.waiting} if look.around.audit else {})
    told = look.around.alerts
    queues |= {"alerts": sum(told.waiting.values()) + told.untaken} if told else {}
    said = ", ".join(f"{name} {count}" for name, count in queues.items())
    return Finding(
        name="queues", level=level, says=f"{said}, in doubt {facts.in_doubt}",
        threshold=f"unsent {_above(rules.unsent_seconds, 's')}",
        advice="see loop and broker; trading-pipeline orders" if level is not Level.OK else "",
        measured={**queues, "in_doubt": facts.in_doubt, "unsent_age_seconds": waits},
    )  # fmt: skip


def _errors(look: Look, rules: HealthRules, _limits: RiskLimits) -> Finding:
    alarms = look.facts.alarms if look.facts else None
    logged = look.around.logged_errors
    count = (alarms or 0) + (logged or 0)
    level = rated(count, _just_below(rules.errors_per_hour))
    says = f"{_count(alarms)} alarms, {_count(logged)} lines in the log"
    return Finding(
        name="errors", level=level, says=says, threshold=f"in an hour {rules.errors_per_hour[0]:g}, "
        f"{rules.errors_per_hour[1]:g}", measured={"last_hour": count},
        advice="trading-pipeline alerts list, and trading-pipeline logs" if level is not Level.OK else "",
    )  # fmt: skip


def _disk(look: Look, rules: HealthRules, _limits: RiskLimits) -> Finding:
    free = look.around.disk_free_bytes
    if free is None:
        return Finding(name="disk", level=Level.WARN, says="nobody can tell", advice="check that the home is there")
    level = rated_low(free / GIGABYTE, rules.disk_free_gigabytes)
    return Finding(
        name="disk", level=level, says=f"{free / GIGABYTE:,.1f} GB free", measured={"free_bytes": free},
        threshold=f"below {rules.disk_free_gigabytes[0]:g}, {rules.disk_free_gigabytes[1]:g} GB",
        advice="free some space: without it nothing can be recorded or sent" if level is not Level.OK else "",
    )  # fmt: skip


def _clock(look: Look, rules: HealthRules, _limits: RiskLimits) -> Finding:
    skew = look.around.clock_skew_seconds
    threshold = f"either way {rules.clock_skew_seconds[0]:g}, {rules.clock_skew_seconds[1]:g} s"
    if skew is None:
        return Finding(name="clock", level=Level.OK, says="not measured: no broker's clock was heard",
                       threshold=threshold, measured={"skew_seconds": None})  # fmt: skip
    level = rated(abs(skew), rules.clock_skew_seconds)
    return Finding(
        name="clock", level=level, says=f"the broker's is {skew:+.2f} s from ours", threshold=threshold,
        measured={"skew_seconds": skew},
        advice="synchronise this machine's clock (NTP)" if level is not Level.OK else "",
    )  # fmt: skip


def _processes(look: Look, _rules: HealthRules, _limits: RiskLimits) -> Finding:
    found = look.around.processes
    dead = [one.name for one in found if one.phase in {ProcessPhase.GONE, ProcessPhase.WAITING}]
    is_gone = any(one.phase is ProcessPhase.GONE for one in found)
    level = Level.FAIL if is_gone else Level.WARN if dead else Level.OK
    said = ", ".join(f"{one.name} {one.phase.value}" for one in found) or "`up` does not run here"
    return Finding(
        name="processes", level=level, says=said, measured={"down": len(dead)},
        advice=f"{', '.join(dead)}: see its log; trading-pipeline down, then up" if dead else "",
    )  # fmt: skip


def _above(edges: tuple[float, float], unit: str) -> str:
    return f"above {edges[0]:g}, {edges[1]:g} {unit}"


def _just_below(edges: tuple[float, float]) -> tuple[float, float]:
    """Counts are met, not exceeded: one error is one too many when the edge is 1."""
    return edges[0] - 0.5, edges[1] - 0.5


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)


RESEARCHED: Mapping[str, tuple[Callable[[Facts], datetime | None], str, str]] = {
    "screening": (lambda facts: facts.screened_at, "screening_age_minutes", "research_job"),
    "watchlist": (lambda facts: facts.watchlist_at, "watchlist_age_minutes", "research_job"),
}
JUDGES: dict[str, Judge] = {
    "database": _database,
    "loop": _by_record("loop", _loop),
    "broker": _by_record("broker", _broker),
    "trading": _trading,
    "blocks": _by_record("blocks", _blocked),
    "feed": _feed,
    **{name: _by_record(name, _aged(name, *parts)) for name, parts in RESEARCHED.items()},
    "regime": _by_record("regime", _regime),
    "positions": _by_record("positions", _positions),
    "risk": _by_record("risk", _risk),
    "reconcile": _by_record("reconcile", _reconcile),
    "audit": audit,
    "alerts": alerts,
    "queues": _by_record("queues", _queues),
    "errors": _errors,
    "disk": _disk,
    "clock": _clock,
    "processes": _processes,
}
NAMES = tuple(JUDGES)
"""Of everything looked at."""
