"""The container files, checked as far as possible without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from trading_pipeline.adapters.ledger_engine import ledger_address
from trading_pipeline.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
EXECUTABLES = Path(sys.executable).parent
PIPELINE = ("code", "webserver", "daemon", "relay")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """compose.yaml with its anchors resolved."""
    tree: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return tree


def _instructions(name: str) -> list[str]:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def _env_example() -> dict[str, str]:
    lines = (DOCKER / "example.env").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def test_everything_the_image_copies_exists_and_is_not_ignored() -> None:
    kept = {
        line.removeprefix("!").strip()
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    sources = [part for line in _instructions("COPY") if "--from" not in line for part in line.split()[:-1]]

    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert {source.removeprefix("./").rstrip("/") for source in sources} == kept


def test_the_image_installs_by_hash_as_the_makefile_does_and_does_not_run_as_root() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pinned = re.search(r"^UV_VERSION := (\S+)", makefile, re.MULTILINE)
    runs = " ".join(_instructions("RUN"))

    assert pinned
    assert f"uv=={pinned[1]}" in runs
    assert "uv pip sync --require-hashes requirements.lock" in runs
    assert "uv pip install --no-deps --editable ." in runs
    assert _instructions("USER") == ["trader"]
    assert len(_instructions("FROM")) == 2


def test_every_program_a_container_starts_is_installed(compose: dict[str, Any]) -> None:
    programs = {service["entrypoint"][0] for name, service in compose["services"].items() if name in PIPELINE}
    programs |= {service["healthcheck"]["test"][1] for name, service in compose["services"].items() if name in PIPELINE}
    programs.add(yaml.safe_load(_instructions("ENTRYPOINT")[0])[0])

    assert programs == {"dagster", "dagster-webserver", "dagster-daemon", "python", "trading-pipeline"}
    assert [name for name in sorted(programs) if not _is_installed(name)] == []


def _is_installed(name: str) -> bool:
    return (EXECUTABLES / name).exists() or shutil.which(name) is not None


def test_every_service_restarts_waits_for_what_it_needs_and_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert set(services) == {"postgres", *PIPELINE}
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert set(service["healthcheck"]) >= {"test", "interval", "timeout", "retries", "start_period"}
        assert all(needed in services for needed in service.get("depends_on", {}))
        assert all(how == {"condition": "service_healthy"} for how in service.get("depends_on", {}).values())


def test_nothing_is_published_beyond_loopback(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert len(published) == 1
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_volumes_are_named_and_the_state_stands_where_the_image_expects_it(compose: dict[str, Any]) -> None:
    mounted = {volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]}
    environment = " ".join(_instructions("ENV"))

    assert mounted == set(compose["volumes"])
    assert "TRADING_PIPELINE_HOME=/state" in environment
    assert all("state:/state" in compose["services"][name]["volumes"] for name in PIPELINE)


def test_the_code_server_is_where_the_workspace_looks_for_it(compose: dict[str, Any]) -> None:
    workspace = yaml.safe_load((DOCKER / "workspace.yaml").read_text(encoding="utf-8"))
    server = workspace["load_from"][0]["grpc_server"]
    local = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"][0]["python_module"]
    code = compose["services"][server["host"]]

    assert ["--port", str(server["port"])] == code["command"][-2:]
    assert str(server["port"]) in code["healthcheck"]["test"]
    assert local["module_name"] in code["command"]
    assert server["location_name"] == local["location_name"]
    assert server["location_name"] in code["command"]


def test_secrets_come_from_an_env_file_that_ships_without_a_password(compose: dict[str, Any]) -> None:
    wanted = set(re.findall(r"env: (\w+)", (DOCKER / "dagster.yaml").read_text(encoding="utf-8")))
    example = _env_example()

    assert wanted <= set(example)
    assert example["POSTGRES_PASSWORD"] == ""
    assert example["POSTGRES_HOST"] in compose["services"]
    assert all(service["env_file"] == ".env" for service in compose["services"].values())
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_ledger_is_in_a_database_of_its_own_and_its_password_in_no_file_here(compose: dict[str, Any]) -> None:
    (variable,) = {name for service in PIPELINE for name in compose["services"][service]["environment"]}
    written = compose["services"]["code"]["environment"][variable]
    example = {**_env_example(), "POSTGRES_PASSWORD": "secret7"}
    address = ledger_address(re.sub(r"\$\{(\w+)\}", lambda found: example[found[1]], written))
    created = compose["configs"]["databases"]["file"]

    assert load_settings(environ={variable: written}).storage.database_url.get_secret_value() == written
    assert address.get_backend_name() == "postgresql"
    assert (address.password, address.host) == ("secret7", example["POSTGRES_HOST"])
    assert address.database != example["POSTGRES_DB"]
    assert f"CREATE DATABASE {address.database};" in (DOCKER / created).read_text(encoding="utf-8")
    assert compose["services"]["postgres"]["configs"][0]["target"].startswith("/docker-entrypoint-initdb.d/")


def test_dagster_accepts_the_production_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _env_example().items():
        monkeypatch.setenv(name, value or "secret")
    shutil.copy(DOCKER / "dagster.yaml", tmp_path)

    ref = InstanceRef.from_dir(str(tmp_path))

    assert ref.storage_data is not None
    assert ref.storage_data.class_name == "DagsterPostgresStorage"
    assert "scheme: postgresql+psycopg2" in ref.storage_data.config_yaml
    assert ref.run_coordinator_data is not None
    assert ref.run_coordinator_data.class_name == "QueuedRunCoordinator"
    assert ref.settings["telemetry"] == {"enabled": False}
    assert ref.settings["run_retries"] == {"enabled": False}
    assert isinstance(ref.settings["run_monitoring"], dict)
    assert ref.settings["run_monitoring"]["enabled"] is True


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no docker client with the compose plugin here")
    for name in ("compose.yaml", "example.env", "databases.sql"):
        shutil.copy(DOCKER / name, tmp_path / name.replace("example.env", ".env"))

    result = subprocess.run(
        ["docker", "compose", "-f", str(tmp_path / "compose.yaml"), "config", "--quiet"], capture_output=True, text=True
    )

    assert result.returncode == 0, result.stderr
