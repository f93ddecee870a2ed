"""All settings: one frozen tree, read from YAML and the environment here and nowhere else.

Parameter models live beside the code that uses them; this module composes and reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from trading_pipeline.analytics.indicators import IndicatorRules
from trading_pipeline.analytics.quality import QualityRules
from trading_pipeline.analytics.regime import RegimeRules
from trading_pipeline.analytics.sabr20 import Sabr20Rules
from trading_pipeline.analytics.screening import CoarseRules
from trading_pipeline.analytics.universe import UniverseRules
from trading_pipeline.analytics.watchlist import WatchlistRules
from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.audit_rules import AuditRules
from trading_pipeline.domain.bar_building import LiveRules
from trading_pipeline.domain.breaker_rules import BreakerRules
from trading_pipeline.domain.broker_rules import AlpacaRules, BrokerRules
from trading_pipeline.domain.cadence import CadenceRules, LeaseRules
from trading_pipeline.domain.errors import SettingsError
from trading_pipeline.domain.exits import ExitRules
from trading_pipeline.domain.health import HealthRules
from trading_pipeline.domain.log_rules import LogRules
from trading_pipeline.domain.mode_terms import WatchRules
from trading_pipeline.domain.modes import ModeRules
from trading_pipeline.domain.planning import PlanRules
from trading_pipeline.domain.reconciliation import ReconcileRules
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.submission import SubmissionRules
from trading_pipeline.domain.supervision import SupervisionRules
from trading_pipeline.domain.targets import RebalanceRules
from trading_pipeline.env_file import environment, require_spelled
from trading_pipeline.settings_tree import line_of, merged, read_yaml

HOME_VARIABLE = "TRADING_PIPELINE_HOME"
CONFIG_VARIABLE = "TRADING_PIPELINE_CONFIG"
PROFILE_VARIABLE = "TRADING_PIPELINE_PROFILE"
OVERRIDE_PREFIX = "TRADING_PIPELINE__"
DEFAULT_HOME = Path(".trading_pipeline")
SHIPPED_CONFIG = Path(__file__).resolve().parent.parent / "config" / "trading.yaml"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MarketSettings(_Frozen):
    """Whose sessions there are."""

    calendar: Literal["XNYS", "24/7"] = Field(
        "XNYS", description="XNYS: the New York Stock Exchange; 24/7: a day of 24 hours each, for the synthetic market"
    )


class HistorySettings(_Frozen):
    """How many sessions back a decision reads, on every path, so that recursive indicators agree everywhere."""

    trigger_sessions: int = Field(20, ge=2, description="of sabr20.t1")
    confirmation_sessions: int = Field(60, ge=2, description="of sabr20.t2")
    regime_sessions: int = Field(140, ge=2, description="of sabr20.t3")
    daily_sessions: int = Field(260, ge=61, description="1d: breadth, universe, index trend")


class SignalSettings(_Frozen):
    """Where external signals come from: a file, or a table of a database; at most one of them."""

    file: str | None = Field(None, description="CSV or JSON with symbol, strength and, for a history, as_of")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; best given as TRADING_PIPELINE__EXECUTION__EXTERNAL_SIGNALS__DATABASE_URL"
    )
    table: str = Field("external_signals", min_length=1, description="columns as_of, symbol, strength; only read")

    @model_validator(mode="after")
    def _one_source(self) -> SignalSettings:
        if self.file is not None and self.database_url is not None:
            raise ValueError("name a file or a database_url, not both: which one is to be believed?")
        return self


class FilterSettings(_Frozen):
    """Where the facts behind sector, earnings and correlation limits come from; the limits stand under risk."""

    sector_file: Path | None = Field(
        None, description="CSV symbol,sector[,industry], GICS names; null: sectors.csv of the home"
    )
    earnings_file: Path | None = Field(None, description="CSV symbol,date of earnings; null: earnings.csv of the home")


class ExecutionSettings(_Frozen):
    """Who trades, when, and by which rules."""

    mode: Literal["simulation", "paper", "live"] = Field(
        "simulation",
        description="what may be spoken to; simulation: this machine only; paper: a broker's paper account; live: its "
        "live account, which also needs an approved mode of the account",
    )
    account: str = Field("SIM", max_length=32, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    strategy: str = Field("sabr20", min_length=1, max_length=32)
    decider: Literal["loop", "dagster_job"] = Field("loop", description="exactly one decides per snapshot")
    initial_cash_usd: Decimal = Field(Decimal(100_000), gt=0)
    entry_open_delay_minutes: int = Field(15, ge=0, le=120, description="no entry before open + this")
    entry_close_lead_minutes: int = Field(60, ge=0, le=240, description="no entry after close − this")
    equity_point_minutes: int = Field(15, ge=1, le=60)
    signals: Literal["sabr20", "external"] = Field(
        "sabr20", description="sabr20: watchlists are traded; external: positions follow a table of signals"
    )
    external_signals: SignalSettings = SignalSettings()
    plan: PlanRules = PlanRules()
    rebalance: RebalanceRules = RebalanceRules()
    risk: RiskLimits = RiskLimits()
    filters: FilterSettings = FilterSettings()
    exits: ExitRules = ExitRules()
    submission: SubmissionRules = SubmissionRules()
    cadence: CadenceRules = CadenceRules()
    lease: LeaseRules = LeaseRules()
    reconcile: ReconcileRules = ReconcileRules()
    breaker: BreakerRules = BreakerRules()
    mode_watch: WatchRules = WatchRules()

    @model_validator(mode="after")
    def _entries_end_before_time_exits_begin(self) -> ExecutionSettings:
        if self.entry_close_lead_minutes < self.exits.flatten_before_close_minutes:
            raise ValueError(
                f"entry_close_lead_minutes ({self.entry_close_lead_minutes}) must not be less than "
                f"exits.flatten_before_close_minutes ({self.exits.flatten_before_close_minutes}): "
                "an entry would be flattened at once"
            )
        return self

    @model_validator(mode="after")
    def _leverage_is_asked_for(self) -> ExecutionSettings:
        for name in ("max_total_exposure_fraction", "buying_power_multiple"):
            if getattr(self.risk, name) > 1 >= self.rebalance.capital_scaling:
                raise ValueError(
                    f"risk.{name} ({getattr(self.risk, name)}) is leverage, and rebalance.capital_scaling is "
                    f"{self.rebalance.capital_scaling}: set it above 1 as well, or the limit to 1 or less"
                )
        return self

    @model_validator(mode="after")
    def _external_signals_have_a_source(self) -> ExecutionSettings:
        source = self.external_signals
        if self.signals == "external" and self.decider != "loop":
            raise ValueError("signals: external needs decider: loop (sells, wait, buys take more than one decision)")
        if self.signals == "external" and source.file is None and source.database_url is None:
            raise ValueError("signals: external needs external_signals.file or external_signals.database_url")
        return self


class VenueSettings(_Frozen):
    """The simulated venue's costs and limits."""

    slippage_fraction: Decimal = Field(Decimal("0.0005"), ge=0, le=Decimal("0.05"))
    commission_schedule: Literal["per_order", "per_share", "ib_tiered", "zero"] = Field(
        "per_order", description="ib_tiered: Interactive Brokers' public tiers with clearing and exchange fees"
    )
    commission_usd_per_order: Decimal = Field(Decimal(1), ge=0, description="of per_order")
    commission_usd_per_share: Decimal = Field(Decimal("0.005"), ge=0, le=1, description="of per_share")
    commission_minimum_usd: Decimal = Field(Decimal(1), ge=0, description="of per_share: least per order")
    commission_maximum_fraction: Decimal = Field(
        Decimal("0.01"), gt=0, le=1, description="of per_share: most per order, of its value; beats the minimum"
    )
    participation_fraction: Decimal = Field(Decimal("0.10"), gt=0, le=1, description="of a bar's volume")
    account_type: Literal["margin", "cash"] = Field(
        "margin", description="cash: only settled cash buys; sales settle with the next session (T+1)"
    )
    orders_in_halt: Literal["accept", "refuse"] = Field(
        "accept", description="what happens to an order in a halted symbol"
    )


class AutomationSettings(_Frozen):
    """When Dagster acts by itself. Of these only the age of a watchlist enters a decision, and so the digest."""

    enabled: bool = Field(False, description="true: schedules and sensors run from the start, unless stopped in the UI")
    max_snapshot_age_minutes: int = Field(20, ge=1, le=120)
    bar_wait_seconds: float = Field(20.0, ge=0, le=120, description="how long a scheduled run waits for the newest bar")
    history_provider: Literal["alpaca", "ib"] | None = Field(
        None, description="who is asked for missing history after the universe and after the close; null: nobody"
    )
    report_every_minutes: int | None = Field(
        None, ge=5, le=240, description="how often the running session is reported on; null: only after its close"
    )
    keep_runs_days: int = Field(90, ge=7, description="how long Dagster keeps runs that later ones have replaced")
    supervision: SupervisionRules = SupervisionRules()


class StorageSettings(_Frozen):
    """Where the ledger is kept; no decision depends on it, so it is no part of the digest."""

    database_url: SecretStr = Field(
        SecretStr(""),
        description="empty: SQLite in the home; else postgresql://USER:PASSWORD@HOST/DATABASE, "
        "best given as TRADING_PIPELINE__STORAGE__DATABASE_URL",
    )
    lock_wait_seconds: float = Field(10.0, ge=0.1, le=120, description="how long a writer waits for another one")
    backup_folder: Path | None = Field(None, description="where `db backup` writes; null: backups/ of the home")
    backup_keep_hours: int = Field(24, ge=1, le=8784, description="every backup is kept that long")
    backup_keep_days: int = Field(30, ge=1, le=3660, description="and the newest of each day that long")


NOT_DECISIVE: dict[str, Any] = {
    **dict.fromkeys(("storage", "broker", "live", "monitor", "logs", "health", "audit", "alerts"), True),
    "automation": {*AutomationSettings.model_fields} - {"max_snapshot_age_minutes"},
    "execution": {"lease"},
    "modes": {*ModeRules.model_fields} - {"watch_hours", "first_trades", "first_trades_size_fraction"},
}
"""Settings no decision depends on."""


class MonitorSettings(_Frozen):
    """Who hosts the session loop; no decision depends on it, so it is no part of the digest."""

    host: Literal["dagster", "service"] = Field(
        "dagster",
        description="dagster: position_monitoring_job runs the loop; service: trading-pipeline session run does, and "
        "the job only looks whether it lives",
    )


class Settings(_Frozen):
    """The whole configuration tree."""

    market: MarketSettings = MarketSettings()
    universe: UniverseRules = UniverseRules()
    indicators: IndicatorRules = IndicatorRules()
    coarse: CoarseRules = CoarseRules()
    sabr20: Sabr20Rules = Sabr20Rules()
    watchlist: WatchlistRules = WatchlistRules()
    regime: RegimeRules = RegimeRules()
    quality: QualityRules = QualityRules()
    history: HistorySettings = HistorySettings()
    execution: ExecutionSettings = ExecutionSettings()
    modes: ModeRules = ModeRules()
    venue: VenueSettings = VenueSettings()
    automation: AutomationSettings = AutomationSettings()
    monitor: MonitorSettings = MonitorSettings()
    storage: StorageSettings = StorageSettings()
    broker: BrokerRules = BrokerRules()
    live: LiveRules = LiveRules()
    logs: LogRules = LogRules()
    health: HealthRules = HealthRules()
    alerts: AlertRules = AlertRules()
    audit: AuditRules = AuditRules()

    @model_validator(mode="after")
    def _an_account_is_a_broker_s(self) -> Settings:
        mode = self.execution.mode
        if mode != "simulation" and self.broker.name == "simulated":
            raise ValueError(f"execution.mode: {mode} needs broker.name: alpaca or ib; simulated is no broker")
        return self

    @model_validator(mode="after")
    def _waiting_for_a_broker_is_not_taken_for_hanging(self) -> Settings:
        name, hang = self.broker.name, self.execution.lease.hang_seconds
        if name == "simulated":
            return self
        rules = self.broker.ib if name == "ib" else self.broker.alpaca
        if rules.longest_wait_seconds >= hang:
            raise ValueError(
                f"execution.lease.hang_seconds ({hang:g}) must be more than {rules.longest_wait_seconds:g}, which one "
                f"answer may take with broker.{name}.timeout_seconds {rules.timeout_seconds:g}: a loop that waits for "
                "a slow broker would be ended as one that hangs"
            )
        return self

    @property
    def alpaca(self) -> AlpacaRules:
        """Alpaca with the keys of the configured mode."""
        return self.broker.alpaca.of_mode(self.execution.mode)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all but what is NOT_DECISIVE: the `config_hash` of what is decided.

        Equal settings have equal digests, however their numbers were written (0.1, 0.10).
        """
        decisive = _canonical(self.model_dump(exclude=NOT_DECISIVE))
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def approval_hash(settings: Settings) -> str:
    """What the approval of a mode is bound to: the digest, and whose account at which broker is meant."""
    broker, digest = settings.broker, settings.digest()
    if broker.name == "simulated" and not broker.account_id:
        return digest
    return hashlib.sha256(f"{digest}|{broker.name}|{broker.account_id}".encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _canonical(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(one) for one in value]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return format(Decimal(str(value)).normalize(), "f")
    return value if value is None or isinstance(value, bool) else str(value)


def resolve_home(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Home folder of all state: the argument, else TRADING_PIPELINE_HOME, else .trading_pipeline here."""
    environ = environment(environ)
    return (home or Path(environ.get(HOME_VARIABLE) or DEFAULT_HOME)).expanduser().resolve()


def load_settings(
    path: Path | None = None, *, profile: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the YAML tree, lay a profile and environment overrides over it, and validate.

    path: default $TRADING_PIPELINE_CONFIG, else the shipped config/trading.yaml, else the built-in defaults.
    profile: a YAML file with only the settings that differ; default $TRADING_PIPELINE_PROFILE.
    Environment: TRADING_PIPELINE__ and the levels of the key with "__" between, for example
    TRADING_PIPELINE__EXECUTION__RISK__MAX_OPEN_POSITIONS=3; beneath it the file of TRADING_PIPELINE_ENV_FILE.
    Raises SettingsError naming file, key and fix.
    """
    environ = environment(environ)
    named, profile = path or _named(environ, CONFIG_VARIABLE), profile or _named(environ, PROFILE_VARIABLE)
    chosen = named or (SHIPPED_CONFIG if SHIPPED_CONFIG.exists() else None)
    tree = read_yaml(chosen) if chosen else {}
    for overlay in (read_yaml(profile) if profile else {}, _overrides(environ)):
        tree = merged(tree, overlay)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_explain(error, [source for source in (chosen, profile) if source])) from error


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    return Path(environ[variable]) if environ.get(variable) else None


def _overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    require_spelled(environ, Settings.model_fields)
    tree: dict[str, Any] = {}
    for name in sorted(environ):
        if name.startswith(OVERRIDE_PREFIX):
            *parents, leaf = name.removeprefix(OVERRIDE_PREFIX).lower().split("__")
            level = tree
            for parent in parents:
                level = level.setdefault(parent, {})
                if not isinstance(level, dict):
                    raise SettingsError(
                        f"{name} in the environment: a shorter name already gives {parent} a value; unset one of them"
                    )
            text = environ[name]
            level[leaf] = text if _is_secret([*parents, leaf]) else _override_value(name, text)
    return tree


def _is_secret(path: Sequence[int | str]) -> bool:
    """True for a setting that is a SecretStr: taken as it is written, never read as YAML and never repeated."""
    model: Any = Settings
    for part in path:
        if get_origin(model) is dict:
            model = get_args(model)[1]
            continue
        field = model.model_fields.get(str(part)) if hasattr(model, "model_fields") else None
        model = field.annotation if field else None
    return SecretStr in {model, *get_args(model)}


def _override_value(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        if "://" in text:  # an address may hold a password, and the error repeats it
            raise SettingsError(f"{name} in the environment is not a YAML value") from None
        raise SettingsError(f"{name}={text!r} in the environment is not a YAML value: {error}") from error


def _explain(error: ValidationError, sources: list[Path]) -> str:
    where = " and ".join(map(str, sources)) or "the environment"
    lines = [f"{error.error_count()} wrong setting(s) in {where} (or {OVERRIDE_PREFIX}* in the environment):"]
    for problem in error.errors():
        key = ".".join(map(str, problem["loc"])) or "(whole file)"
        line = line_of(problem["loc"], sources)
        is_shown = not isinstance(problem["input"], BaseModel | dict) and not _may_be_secret(problem)
        given = f" (given: {problem['input']!r})" if is_shown else ""
        lines.append(f"  {key}{line}: {problem['msg']}{given}")
    lines.append("See every setting with its unit and default: trading-pipeline config show")
    return "\n".join(lines)


def _may_be_secret(problem: ErrorDetails) -> bool:
    """True for a secret, and for an address under whatever name it was given: it may hold a password."""
    return _is_secret(problem["loc"]) or "://" in str(problem["input"])
