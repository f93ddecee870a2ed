"""No error that Dagster puts on record holds a secret, wherever it was raised."""

import sqlite3
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from trading_pipeline.adapters.logs.redaction import REDACTOR
from trading_pipeline.definitions import defs
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.domain.errors import InputError

CANARY = "pA55w0rd-of-the-run/7!"
ADDRESS = f"postgresql://trader:{CANARY}@db.example/trading"


@pytest.fixture(autouse=True)
def _known() -> None:
    REDACTOR.learn(CANARY)


def of_a_library() -> None:
    raise sqlite3.OperationalError(f"cannot connect to {ADDRESS}")


def failing(_context: dg.OpExecutionContext) -> None:
    """What is raised names its cause, and the cause the address."""
    try:
        of_a_library()
    except sqlite3.OperationalError as error:
        raise ValueError("no connection") from error


def refusing(_context: dg.OpExecutionContext) -> None:
    raise dg.Failure(f"{ADDRESS} is not there", allow_retries=False)


def recorded(function: Callable[..., None]) -> tuple[bool, str]:
    """Whether a run of it succeeded, and all that is on record of it."""
    step = dg.op(name="step")(function)

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        step()

    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, raise_on_error=False)
        return done.success, "\n".join(repr(one) for one in instance.all_logs(done.run_id))


@pytest.mark.parametrize("function", [failing, refusing])
def test_a_secret_in_an_error_or_in_what_it_was_raised_from_is_not_put_on_record(function: Callable[..., None]) -> None:
    leaks = recorded(function)
    told = recorded(without_secrets(function))

    assert (leaks[0], CANARY in leaks[1]) == (False, True)  # it was there to be leaked
    assert (told[0], CANARY in told[1]) == (False, False)


def telling(context: dg.OpExecutionContext) -> None:
    """A library's words in a line of the run's log, as an argument and in a traceback."""
    context.log.warning("nothing done: %s", f"cannot connect to {ADDRESS}")
    try:
        of_a_library()
    except sqlite3.OperationalError:
        context.log.exception("the relay goes on")


def telling_steps(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
    telling(context)
    yield dg.Output(None)


@pytest.mark.parametrize("function", [telling, telling_steps])
def test_a_secret_in_a_line_of_a_run_s_log_is_not_put_on_record(function: Callable[..., None]) -> None:
    leaks = recorded(function)
    told = recorded(without_secrets(function))

    assert (leaks[0], CANARY in leaks[1]) == (True, True)
    assert (told[0], CANARY in told[1]) == (True, False)
    assert "nothing done: cannot connect to" in told[1]
    assert "the relay goes on" in told[1]


def test_a_secret_in_a_line_of_a_sensor_s_log_does_not_leave_it(caplog: pytest.LogCaptureFixture) -> None:
    @without_secrets
    def look(context: dg.SensorEvaluationContext) -> None:
        context.log.addHandler(caplog.handler)
        context.log.warning("nothing done: %s", ADDRESS)

    with dg.build_sensor_context() as context:
        look(context)

    assert "nothing done: " in caplog.text
    assert CANARY not in caplog.text


def test_it_is_told_in_words_and_with_its_place() -> None:
    with pytest.raises(Exception, match=r"^OperationalError: cannot connect to .*\[redacted\]") as raised:
        without_secrets(of_a_library)()

    assert raised.value.__suppress_context__
    assert CANARY not in str(raised.getrepr(style="native"))


def test_an_error_that_tells_no_secret_stays_the_one_it_is() -> None:
    error = InputError("session 2025-06-10 is not on record")

    @without_secrets
    def fail() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(InputError) as raised:
        list(fail())
    assert raised.value is error


def functions() -> Iterator[tuple[str, object]]:
    """All that Dagster runs of ours."""
    for job in defs.get_repository_def().get_all_jobs():
        for node in job.all_node_defs:
            if isinstance(node, dg.OpDefinition) and node.name != "dagster_internal":
                yield node.name, getattr(node.compute_fn, "decorated_fn", node.compute_fn)
    for sensor in defs.sensors or ():
        yield sensor.name, getattr(sensor, "_run_status_sensor_fn", None) or getattr(sensor, "_raw_fn", None)
    for schedule in defs.schedules or ():
        function = getattr(getattr(schedule, "_execution_fn", None), "decorated_fn", None)
        if function is not None:  # others have a cron line and nothing to run
            yield schedule.name, function


def test_everything_that_dagster_runs_is_wrapped() -> None:
    found = dict(functions())
    bare = sorted(name for name, function in found.items() if not hasattr(function, "__wrapped__"))

    assert len(found) >= 25
    assert bare == []
