"""Statements as a driver takes them, made from the tables by SQLAlchemy once: running it anew costs more than sending.

Both databases keep one definition, and no SQL is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Dialect, Insert, Select, Table, Update, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
from sqlalchemy.types import TypeEngine

R = TypeVar("R")
Statement = Select[Any] | Insert | Update | ReturningInsert[Any] | ReturningUpdate[Any]
Values = dict[str, Any]
Parameters = tuple[Any, ...]
Conversion = Callable[[Any], Any]
Conversions = Sequence[Conversion | None]
Arrange = Callable[[Sequence[Any]], Parameters]

INSERTED_ROWS = 100
"""At most, in one insertion: SQLite takes 32,766 parameters."""
NAMED_IDENTITIES = (1, 10, 100)
"""Identities asked for in one statement: few sizes, so that few statements are made."""
POSITIONAL = PGDialect_psycopg2(paramstyle="format")  # type: ignore[no-untyped-call]
"""Writes texts whose parameters have places instead of names: cheaper, and a row's text can be repeated."""


class Prepared:
    """One statement's text in a dialect, and how its parameters and its rows are converted."""

    def __init__(self, statement: Statement, dialect: Dialect, names: Sequence[str]) -> None:
        """names: of the parameters, in the order they will be given."""
        made = statement.compile(dialect=POSITIONAL if dialect.name == "postgresql" else dialect)
        assert isinstance(made, SQLCompiler)
        self.sql = str(made)
        self._dialect = dialect
        fixed = {name: bind for name, bind in made.binds.items() if not bind.required}
        if set(names) != made.binds.keys() - fixed.keys():
            raise KeyError(f"{sorted(names)} are given and {sorted(made.binds.keys() - fixed.keys())} are wanted")
        types = [made.binds[name].type for name in names]
        assert made.positiontup is not None
        known = (*names, *fixed)
        order = [known.index(name) for name in made.positiontup]
        self._fixed = arranged(conversions([bind.type for bind in fixed.values()], dialect))(
            [bind.value for bind in fixed.values()]
        )
        unchanged = [None] * len(fixed)
        self._converted = arranged([*conversions(types, dialect), *unchanged], order)
        self._placed = arranged([None] * len(known), order)
        self.order = tuple(known[place] for place in order)
        self._of_rows = dict[int, str]()
        self._types = [column.type for column in _columns_of(statement)]
        self._decoded: Arrange | None = None

    def parameters(self, values: Sequence[Any]) -> Parameters:
        """Values of the domain as the driver's parameters."""
        return self._converted((*values, *self._fixed) if self._fixed else values)

    def placed(self, values: Sequence[Any]) -> Parameters:
        """Values that are converted already, as the driver wants them."""
        return self._placed((*values, *self._fixed) if self._fixed else values)

    def of_rows(self, count: int) -> str:
        """The text of an insertion of one row, for so many at once; their parameters follow each other in `order`."""
        text = self._of_rows.get(count)
        if text is None:
            before, row, after = _around_the_row(self.sql)
            text = self._of_rows[count] = before + ", ".join([row] * count) + after
        return text

    def decoded(self, rows: Iterable[Any], description: Sequence[Any]) -> list[Parameters]:
        """The driver's rows as values of the domain."""
        if self._decoded is None:
            self._decoded = arranged([self._decoder(of, description[place][1]) for place, of in enumerate(self._types)])
        return [self._decoded(row) for row in rows]

    def _decoder(self, of: TypeEngine[Any], code: object) -> Conversion | None:
        return of.dialect_impl(self._dialect).result_processor(self._dialect, code)


def _around_the_row(sql: str) -> tuple[str, str, str]:
    """An insertion's text before its one row of values, that row, and what follows."""
    before, values, rest = sql.partition(" VALUES ")
    row, conflict, after = rest.partition(" ON CONFLICT ")
    return before + values, row, conflict + after


def _columns_of(statement: Statement) -> Iterable[ColumnElement[Any]]:
    if isinstance(statement, Select):
        return statement.selected_columns
    return statement.exported_columns if isinstance(statement, ReturningInsert | ReturningUpdate) else ()


def conversions(types: Iterable[TypeEngine[Any]], dialect: Dialect) -> Conversions:
    """How values of these types become what the driver takes; None: they go as they are."""
    return [of.dialect_impl(dialect).bind_processor(dialect) for of in types]


def arranged(of: Conversions, order: Iterable[int] | None = None) -> Arrange:
    """A function that takes the values in these places (all by default), each through the conversion of its place."""
    places = range(len(of)) if order is None else order
    return written_out([(f"given[{place}]", of[place]) for place in places])


def written_out(taken: Sequence[tuple[str, Conversion | None]]) -> Callable[..., Parameters]:
    """A function that takes these parts of what it is `given`, and of `further` values, each through its conversion.

    It is written out, as `dataclass` writes out its methods: a loop over the conversions takes three times as long.
    What is taken again is not converted again.
    """
    convert, parts = dict[str, Conversion](), list[str]()
    for place, (part, to) in enumerate(taken):
        first = taken.index((part, to))
        if to is None:
            parts.append(part)
        elif first < place:
            parts.append(f"converted_{first}")
        else:
            convert[f"convert_{place}"] = to
            kept = f"converted_{place} := " if (part, to) in taken[place + 1 :] else ""
            parts.append(f"({kept}convert_{place}({part}))")
    made: Callable[..., Parameters] = eval(  # noqa: S307
        f"lambda given, further=(): ({''.join(f'{part}, ' for part in parts)})", convert
    )
    return made


_MADE: dict[tuple[Statement, str], Prepared] = {}


def prepared(statement: Statement, dialect: Dialect, names: Sequence[str]) -> Prepared:
    """The statement in the dialect, made the first time. It must be one that lives as long as the program."""
    key = statement, dialect.name
    found = _MADE.get(key)
    if found is None:
        found = _MADE[key] = Prepared(statement, dialect, names)
    return found


def insert_of(table: Table, names: tuple[str, ...]) -> Insert:
    """An insertion of a row of these columns."""
    return table.insert().inline().values({name: bindparam(name, type_=table.c[name].type) for name in names})


def insert_new_of(table: Table, names: tuple[str, ...], dialect: str) -> Statement:
    """The same for a row that may be there: it stays as it is. Of a new one it returns the first column."""
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    values = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return insert.inline().values(values).on_conflict_do_nothing().returning(table.c[names[0]])


def in_parts(rows: Sequence[R]) -> Iterable[Sequence[R]]:
    """The rows in order, as many at a time as one insertion takes."""
    if len(rows) <= INSERTED_ROWS:
        return (rows,) if rows else ()
    return (rows[first : first + INSERTED_ROWS] for first in range(0, len(rows), INSERTED_ROWS))


def named(column: ColumnElement[Any], count: int) -> ColumnElement[bool]:
    """The condition that picks the rows with one of so many identities, given as `identities(count)`."""
    return column.in_([bindparam(name, type_=column.type) for name in identities(count)])


@cache
def identities(count: int) -> tuple[str, ...]:
    """What the parameters of `named` are called."""
    return tuple(f"identity_{number}" for number in range(count))


def identified(names: tuple[str, ...]) -> dict[str, str]:
    """The parameters of a query of `named` identities."""
    return dict(zip(identities(len(names)), names, strict=True))


def in_lists(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """The names in lists of known sizes; the last one is filled up with its last name, which asks for nothing more."""
    if len(names) == 1:
        return [(names[0],)]
    return _in_lists(names)


def _in_lists(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    most = NAMED_IDENTITIES[-1]
    for part in (names[first : first + most] for first in range(0, len(names), most)):
        size = next(size for size in NAMED_IDENTITIES if size >= len(part))
        yield filled(part, size)


def filled(names: Sequence[str], size: int) -> tuple[str, ...]:
    """The names and the last one again, until there are so many: it asks for nothing more."""
    return (*names, *[names[-1]] * (size - len(names)))
