"""What a materialisation shows: row counts, column schemas, tables and small pictures."""

from __future__ import annotations

import base64
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

MAX_TABLE_ROWS = 25


def frame_metadata(frame: pd.DataFrame, **further: Any) -> dict[str, Any]:
    """Row count and column schema of a frame, and whatever else is given."""
    return {"dagster/row_count": len(frame), "dagster/column_schema": frame_schema(frame), **further}


def frame_schema(frame: pd.DataFrame) -> dg.TableSchema:
    """Columns and types of a frame."""
    columns = [dg.TableColumn(str(name), str(kind)) for name, kind in frame.dtypes.items()]
    return dg.TableSchema(columns=columns)


def named_schema(*names: str) -> dg.TableSchema:
    """Columns by name, where a frame's columns are known before it is made."""
    return dg.TableSchema(columns=[dg.TableColumn(name) for name in names])


def record_schema(record: type) -> dg.TableSchema:
    """Columns and types of a ledger record, from its fields."""
    if not dataclasses.is_dataclass(record):
        raise TypeError(f"{record.__name__} is not a record")
    hints = typing.get_type_hints(record)
    columns = [dg.TableColumn(field.name, _type_name(hints[field.name])) for field in dataclasses.fields(record)]
    return dg.TableSchema(columns=columns)


def _type_name(hint: object) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")


def table(rows: pd.DataFrame | Sequence[Mapping[str, object]]) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Rows as a table in the UI, at most 25; a line of text when there are none."""
    found = rows.to_dict(orient="records") if isinstance(rows, pd.DataFrame) else rows
    if not found:
        return dg.MetadataValue.text("none")
    records = [dg.TableRecord({str(key): _cell(value) for key, value in row.items()}) for row in found[:MAX_TABLE_ROWS]]
    return dg.MetadataValue.table(records)


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """An SVG drawing shown in place."""
    data = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{data})")
