"""Which processes run the pipeline on one machine, and what they need before they start."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from trading_pipeline.adapters.dagster_home import ROOT, prepare_dagster_home
from trading_pipeline.adapters.processes import MARK, up_folder
from trading_pipeline.adapters.sockets import LOOPBACK, short_socket
from trading_pipeline.adapters.supervisor import Program
from trading_pipeline.cli.context import Options
from trading_pipeline.settings import (
    CONFIG_VARIABLE,
    HOME_VARIABLE,
    OVERRIDE_PREFIX,
    PROFILE_VARIABLE,
    Settings,
    load_settings,
    resolve_home,
)

LOCATION = "trading_pipeline"
UI_PORT, HEALTH_PORT = 3000, 9464
AUTOMATION = f"{OVERRIDE_PREFIX}AUTOMATION__ENABLED"
MEANING = {
    "code-server": "what Dagster runs: schedules, sensors, jobs and the session loop",
    "relay": "numbers and signs the audit log, delivers alerts",
    "loop": "the session loop, session after session",
    "stream": "bars and watchlists of each session as its bars close",
    "health": "/healthz and /metrics for machines that watch",
    "webserver": "the Dagster UI",
    "daemon": "starts what schedules and sensors ask for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to run. automation: whether schedules and sensors act by themselves. health_port: None for no health
    page."""

    home: Path
    settings: Settings
    port: int
    automation: bool
    health_port: int | None = None
    config: Path | None = None
    profile: Path | None = None

    @classmethod
    def of(cls, options: Options, *, port: int, automation: bool, health_port: int | None = None) -> Plan:
        """The plan under the settings as they are now; raises SettingsError when they do not hold together."""
        settings = load_settings(options.config, profile=options.profile)
        return cls(
            home=resolve_home(options.home), settings=settings, port=port, automation=automation,
            health_port=health_port, config=options.config, profile=options.profile,
        )  # fmt: skip

    @property
    def address(self) -> str:
        """Where the UI is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """All it listens on."""
        return (self.port,) if self.health_port is None else (self.port, self.health_port)

    @property
    def socket(self) -> Path:
        """Where the code server listens."""
        return short_socket(self.home, up_folder(self.home), "code.sock")

    def programs(self) -> tuple[Program, ...]:
        """In the order they are started; they are stopped the other way round, so that nothing new is begun."""
        workspace = up_folder(self.home) / "workspace.yaml"
        location = {"grpc_server": {"socket": str(self.socket), "location_name": LOCATION}}
        workspace.parent.mkdir(parents=True, exist_ok=True)
        workspace.write_text(yaml.safe_dump({"load_from": [location]}), encoding="utf-8")
        webserver = ("dagster_webserver", "--host", LOOPBACK, "--port", str(self.port), "--workspace", str(workspace))
        return (
            Program(name="code-server", command=self._code_server(), steady_seconds=20, patience_seconds=30),
            self._relay(),
            *self._stream(),
            *self._loop(),
            *self._health(),
            Program(name="webserver", command=self._after_code(*webserver)),
            Program(name="daemon", command=self._after_code("dagster._daemon", "run", "--workspace", str(workspace))),
        )

    def set_environment(self) -> None:
        """What the processes find in their environment, so that all see the same home and settings."""
        prepare_dagster_home(self.home)
        self.socket.unlink(missing_ok=True)
        given = {HOME_VARIABLE: self.home, CONFIG_VARIABLE: self.config, PROFILE_VARIABLE: self.profile}
        os.environ.update({name: str(path.resolve()) for name, path in given.items() if path})
        os.environ.update({MARK: str(self.home), AUTOMATION: str(self.automation).lower(), "PYTHONUNBUFFERED": "1"})

    @staticmethod
    def _relay() -> Program:
        """Started before and stopped after whoever has something to tell."""
        command = (sys.executable, "-m", "trading_pipeline.cli", "relay", "run")
        return Program(name="relay", command=command, patience_seconds=30)

    def _loop(self) -> tuple[Program, ...]:
        if self.settings.monitor.host != "service" or not self.automation:
            return ()
        command = (sys.executable, "-m", "trading_pipeline.cli", "session", "run", "--every-session")
        return (Program(name="loop", command=command, patience_seconds=30),)

    def _stream(self) -> tuple[Program, ...]:
        provider = self.settings.live.provider
        if self.settings.monitor.host != "service" or provider == "none" or not self.automation:
            return ()
        words = ("data", "stream", "--provider", provider, "--every-session")
        return (Program(name="stream", command=(sys.executable, "-m", "trading_pipeline.cli", *words)),)

    def _health(self) -> tuple[Program, ...]:
        if self.health_port is None:
            return ()
        command = (sys.executable, "-m", "trading_pipeline.cli", "health", "serve", "--port", str(self.health_port))
        return (Program(name="health", command=command),)

    def _code_server(self) -> tuple[str, ...]:
        target = ("--module-name", "trading_pipeline.definitions", "--working-directory", str(ROOT))
        where = ("--socket", str(self.socket), "--location-name", LOCATION)
        return (sys.executable, "-m", "dagster", "api", "grpc", *where, *target)

    def _after_code(self, module: str, *arguments: str) -> tuple[str, ...]:
        wait = (sys.executable, "-m", "trading_pipeline.adapters.start_after", str(self.socket))
        return (*wait, sys.executable, "-m", module, *arguments)
