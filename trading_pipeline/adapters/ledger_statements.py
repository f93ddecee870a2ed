"""Statements as a driver takes them, made from the tables by SQLAlchemy once: running it anew costs more than sending.

Both databases keep one definition, and no SQL is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Dialect, Insert, Select, Table, Update, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.types import TypeEngine

R = TypeVar("R")
Statement = Select[Any] | Insert | Update | ReturningInsert[Any]
Values = dict[str, Any]
Parameters = tuple[Any, ...] | Values
Conversion = Callable[[Any], Any]
Conversions = Sequence[tuple[int, Conversion]]

INSERTED_ROWS = (8, 4, 2, 1)
"""Rows of one insertion: few sizes, so that few statements are made."""


class Prepared:
    """One statement's text in a dialect, and how its parameters and its rows are converted."""

    def __init__(self, statement: Statement, dialect: Dialect, names: Sequence[str]) -> None:
        """names: of the parameters, in the order they will be given."""
        made = statement.compile(dialect=dialect)
        assert isinstance(made, SQLCompiler)
        self.sql = str(made)
        self._dialect = dialect
        fixed = {name: bind for name, bind in made.binds.items() if not bind.required}
        if set(names) != made.binds.keys() - fixed.keys():
            raise KeyError(f"{sorted(names)} are given and {sorted(made.binds.keys() - fixed.keys())} are wanted")
        types = [made.binds[name].type for name in names]
        self._conversions = conversions(types, dialect)
        self._fixed = tuple(stored([bind.value], conversions([bind.type], dialect))[0] for bind in fixed.values())
        self._names = (*names, *fixed)
        self._order = None if made.positiontup is None else _picker([self._names.index(n) for n in made.positiontup])
        self._types = [column.type for column in _columns_of(statement)]
        self._decoders: Conversions | None = None

    def parameters(self, values: Sequence[Any]) -> Parameters:
        """Values of the domain as the driver's parameters."""
        return self.placed(stored(values, self._conversions))

    def placed(self, values: Sequence[Any]) -> Parameters:
        """Values that are converted already, as the driver wants them."""
        everything = (*values, *self._fixed)
        return self._order(everything) if self._order else dict(zip(self._names, everything, strict=True))

    def decoded(self, rows: Iterable[Any], description: Sequence[Any]) -> list[list[Any]]:
        """The driver's rows as values of the domain."""
        if self._decoders is None:
            found = [self._decoder(of, description[place][1]) for place, of in enumerate(self._types)]
            self._decoders = [(place, to) for place, to in enumerate(found) if to is not None]
        return [stored(row, self._decoders) for row in rows]

    def _decoder(self, of: TypeEngine[Any], code: object) -> Conversion | None:
        return of.dialect_impl(self._dialect).result_processor(self._dialect, code)


def _columns_of(statement: Statement) -> Iterable[ColumnElement[Any]]:
    if isinstance(statement, Select):
        return statement.selected_columns
    return statement.exported_columns if isinstance(statement, ReturningInsert) else ()


def conversions(types: Iterable[TypeEngine[Any]], dialect: Dialect) -> Conversions:
    """How the values in these places become what the driver takes; those in other places go as they are."""
    found = (of.dialect_impl(dialect).bind_processor(dialect) for of in types)
    return [(place, to) for place, to in enumerate(found) if to is not None]


def stored(values: Iterable[Any], conversions: Conversions) -> list[Any]:
    """The values after their conversions."""
    found = list(values)
    for place, to in conversions:
        found[place] = to(found[place])
    return found


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    if list(places) == list(range(len(places))):
        return tuple
    return itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)


_MADE: dict[tuple[Statement, str], Prepared] = {}


def prepared(statement: Statement, dialect: Dialect, names: Sequence[str]) -> Prepared:
    """The statement in the dialect, made the first time. It must be one that lives as long as the program."""
    key = statement, dialect.name
    found = _MADE.get(key)
    if found is None:
        found = _MADE[key] = Prepared(statement, dialect, names)
    return found


@cache
def insert_of(table: Table, names: tuple[str, ...], rows: int) -> tuple[Insert, tuple[str, ...]]:
    """An insertion of so many rows, and what its parameters are called, row by row."""
    return table.insert().inline().values(_listed(table, names, rows)), _numbered(names, rows)


@cache
def insert_new_of(
    table: Table, names: tuple[str, ...], rows: int, dialect: str, *, tell: bool
) -> tuple[Statement, tuple[str, ...]]:
    """The same for rows of which some may be there: they stay as they are.

    tell: it returns the first column of the new ones.
    """
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    filled = insert.inline().values(_listed(table, names, rows)).on_conflict_do_nothing()
    return filled.returning(table.c[names[0]]) if tell else filled, _numbered(names, rows)


def _listed(table: Table, names: tuple[str, ...], rows: int) -> list[Values]:
    return [{name: bindparam(f"{name}_{row}", type_=table.c[name].type) for name in names} for row in range(rows)]


def _numbered(names: tuple[str, ...], rows: int) -> tuple[str, ...]:
    return tuple(f"{name}_{row}" for row in range(rows) for name in names)


def in_parts(rows: Sequence[R]) -> Iterable[Sequence[R]]:
    """The rows in order, in the sizes insertions come in."""
    first = 0
    while first < len(rows):
        size = next(size for size in INSERTED_ROWS if size <= len(rows) - first)
        yield rows[first : first + size]
        first += size
