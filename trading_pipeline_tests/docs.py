"""Tables in docs/ that are made from the code. Write them anew: python -m trading_pipeline_tests.docs"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import yaml
from pydantic import BaseModel

from trading_pipeline.definitions import defs
from trading_pipeline.defs.automation import TIMED
from trading_pipeline.domain import planning, risk
from trading_pipeline.domain.alert_kinds import KINDS
from trading_pipeline.domain.risk import Code
from trading_pipeline.domain.risk_checks import CHECKS
from trading_pipeline.domain.risk_measure import Check
from trading_pipeline.settings import SHIPPED_CONFIG, Settings
from trading_pipeline_tests import progression_page

DOCS = Path(__file__).resolve().parent.parent / "docs"
REFERENCES = re.compile(r"\s*\((?:[EX]-\d+(?:, )?)+\)")
MADE = "<!-- Made from the code: python -m trading_pipeline_tests.docs -->\n\n"


def denial_codes() -> str:
    """Every code of a decision, in the order the checks run: what it means, its settings, where its facts are from."""
    rows = [row for check in CHECKS for row in _check_rows(check)]
    too_small = _told(risk._too_small.__doc__)
    rows.append((Code.BELOW_MINIMUM_SIZE.value, too_small[0], "min_shares, min_shares_live_scaled, min_notional_usd",
                 *too_small[1:]))  # fmt: skip
    planned = set(re.findall(r"Code\.([A-Z_]+)", inspect.getsource(planning)))
    early = ", ".join(f"`{code.value}`" for code in Code if code.name in planned)
    head = ("code", "what it says", "settings", "source", "when the source is missing")
    return (
        "# Denial codes\n\n" + MADE + "Every check runs on every entry; `trading-pipeline decisions --session latest`"
        " shows what each found, `trading-pipeline risk show` how much of each limit is used, and"
        " `trading-pipeline risk what-if SYMBOL ENTRY STOP TARGET` what an entry would be told. A check that limits"
        " size reduces it first, and denies only when no share is left. The strictest wins. Settings stand under"
        " `execution.risk`; `null` switches a filter off. Stops, targets, exits and cancels are never checked.\n\n"
        + _table(head, [(f"`{code}`", *rest) for code, *rest in rows])
        + f"\nA setup may already be refused a plan, before any decision (`plan_refused` in the funnel): {early}.\n"
    )  # fmt: skip


def _check_rows(check: Check) -> Iterator[tuple[str, ...]]:
    closure = inspect.getclosurevars(check).nonlocals  # counting checks are made by one function
    says, source, missing = _told(check.__doc__)
    if "code" in closure:
        meaning = f"One more than the allowed number of {closure['what']}."
        yield closure["code"].value, meaning, closure["limit_name"], source, missing
        return
    text = inspect.getsource(check)
    limits = ", ".join(dict.fromkeys(re.findall(r"limits\.(\w+)", text)))
    if "positions_allowed" in text:
        limits = "max_open_positions"
    for name in dict.fromkeys(re.findall(r"Code\.([A-Z_]+)", text)):
        yield Code[name].value, says, limits, source, missing


def _told(doc: str | None) -> tuple[str, str, str]:
    """What a check's docstring says: its meaning, the source of its facts, and what happens without them."""
    meaning, _, rest = (doc or "").partition("\n\n")
    source, _, missing = " ".join(rest.split()).removeprefix("Source: ").partition(" Missing: ")
    return REFERENCES.sub("", meaning.strip()), source.rstrip("."), missing.rstrip(".") or "cannot be missing"


def configuration() -> str:
    """Every setting: key, default, meaning as the shipped file says it."""
    comments = _comments(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    rows = [
        (f"`{key}`", f"`{json.dumps(value, ensure_ascii=False)}`", comments.get(key, ""))
        for key, value in _leaves(Settings())
    ]
    return (
        "# Configuration\n\n" + MADE + "The shipped file is `config/trading.yaml`. Put what differs into a file of your"
        " own and pass it with `--profile`; one setting alone may come from the environment, as"
        " `TRADING_PIPELINE__EXECUTION__RISK__MAX_OPEN_POSITIONS=3`. A name that is not here, or a value out of bounds,"
        " is an error. Names carry the unit: usd, shares, fraction (0.01 is 1 %), percent, bars, sessions, minutes,"
        " seconds.\n\n" + _table(("setting", "default", "meaning"), rows)
    )


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    plain = model.model_dump(mode="json")
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", plain[name]


def _comments(text: str) -> dict[str, str]:
    """The comment at the end of each key's line, by dotted key."""
    lines, found = text.splitlines(), dict[str, str]()

    def walk(node: yaml.Node | None, prefix: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{prefix}{key.value}"
                found[name] = lines[key.start_mark.line].partition("#")[2].strip()
                walk(value, f"{name}.")

    walk(yaml.compose(text), "")
    return found


def assets() -> str:
    """Assets, jobs and schedules as Dagster knows them."""
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.toposorted_asset_keys]
    rows = [
        (
            f"`{node.key.to_user_string()}`",
            node.group_name,
            "executable" if node.is_executable else "external",
            ", ".join(sorted(f"`{parent.to_user_string()}`" for parent in node.parent_keys)),
            " ".join((node.description or "").split()),
        )
        for node in nodes
    ]
    jobs = [
        (f"`{job.name}`", " ".join((job.description or "").split()))
        for job in sorted(defs.resolve_all_job_defs(), key=lambda job: job.name)
        if not job.name.startswith("__")
    ]
    return (
        "# Assets, jobs and schedules\n\n" + MADE + "Assets are partitioned by trading session, summaries by week"
        " and month. External ones are"
        " reported by what writes them; Dagster cannot materialise them.\n\n"
        + _table(("asset", "group", "", "made from", "what it is"), rows)
        + "\nJobs:\n\n" + _table(("job", "what it does"), jobs)
        + "\nWhat starts them, and when: [schedules.md](schedules.md).\n"
    )  # fmt: skip


def schedules() -> str:
    """Schedules and sensors: the hours in words and in cron, and what each starts."""
    known = {one.name: one for one in defs.schedules or () if isinstance(one, dg.ScheduleDefinition)}
    timed = [(f"`{one.name}`", one.when, _lines(known.pop(one.name)), f"`{one.job}`", one.what) for one in TIMED]
    others = [
        (f"`{one.name}`", "by the clock, sessions or not", _lines(one), f"`{one.job_name}`", _words(one.description))
        for one in known.values()
    ]
    sensors = [
        (f"`{one.name}`", f"{one.minimum_interval_seconds} s", _job_of(one), _words(one.description))
        for one in defs.sensors or ()
    ]
    written = (DOCS / "schedules.md").read_text(encoding="utf-8").partition(MADE)[0]
    return (
        written + MADE + "## Schedules\n\n"
        + _table(("schedule", "when", "cron", "job", "what"), [*timed, *others])
        + "\n## Sensors\n\n" + _table(("sensor", "looks every", "job", "what"), sensors)
    )  # fmt: skip


def alerts() -> str:
    """Every kind of alert, beneath what is written about them by hand."""
    rows = [
        (f"`{kind.name}`", kind.event, ", ".join(level.value for level in kind.levels), kind.meaning)
        for kind in KINDS.values()
    ]
    written = (DOCS / "alerts.md").read_text(encoding="utf-8").partition(MADE)[0]
    return written + MADE + "## Kinds\n\n" + _table(("kind", "event", "levels", "meaning"), rows)


def progression() -> str:
    """The ladder of modes, and what each rung asks for."""
    written = (DOCS / "progression.md").read_text(encoding="utf-8").partition(MADE)[0]
    return written + MADE + progression_page.tables(_table)


def _job_of(sensor: dg.SensorDefinition) -> str:
    return ", ".join(f"`{target.job_name}`" for target in sensor.targets)


def _lines(schedule: dg.ScheduleDefinition) -> str:
    lines = schedule.cron_schedule
    return "<br>".join(f"`{line}`" for line in ([lines] if isinstance(lines, str) else lines))


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


PAGES = {
    "denial-codes.md": denial_codes, "configuration.md": configuration, "assets.md": assets, "schedules.md": schedules,
    "progression.md": progression,
    "alerts.md": alerts,
}  # fmt: skip

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make(), encoding="utf-8")
