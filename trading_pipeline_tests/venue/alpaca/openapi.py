"""Answers held against Alpaca's own OpenAPI documents: another source of truth than its client library.

Where the documents are not at hand, mark tests with `needs_documents`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("TRADING_PIPELINE_SHARED", ROOT.parent / "shared"))
DOCUMENTS = SHARED / "reference" / "alpaca-openapi"
TRADING, MARKET_DATA = "trading-api", "market-data-api"
needs_documents = pytest.mark.skipif(
    not DOCUMENTS.exists(), reason=f"no OpenAPI documents at {DOCUMENTS}: set TRADING_PIPELINE_SHARED to check by them"
)
_URI = "urn:alpaca"
_FIRST_ERROR = 400


class ApiDocument:
    """One OpenAPI 3.0 document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        resource = Resource.from_contents(document, default_specification=DRAFT4)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        self._paths = sorted(document["paths"], key=lambda path: path.count("{"))

    def faults(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with an answer, its unknown fields included; empty when the document allows it.

        Errors have no schema in the documents: they must be an object with a message, and a number for a code.
        """
        if status >= _FIRST_ERROR:
            return _error_faults(body)
        schema = self._schema(method, path, status)
        if schema is None:
            return [] if body is None else [f"{method} {path} {status}: the document knows no body"]
        return [*self.schema_faults(schema, body), *self._unknown_fields(schema, body, "")]

    def component_faults(self, name: str, body: Any) -> list[str]:
        """The same for a schema by its name."""
        schema = {"$ref": f"#/components/schemas/{name}"}
        return [*self.schema_faults(schema, body), *self._unknown_fields(schema, body, "")]

    def schema_faults(self, schema: Mapping[str, Any], body: Any) -> list[str]:
        validator = OAS30Validator(self._rooted(schema), registry=self._registry, format_checker=oas30_format_checker)
        return [f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in validator.iter_errors(body)]

    def properties(self, name: str) -> frozenset[str]:
        """Every field the document gives a schema."""
        return frozenset(self.document["components"]["schemas"][name]["properties"])

    def example(self, name: str) -> Any:
        """A recorded answer of the document."""
        return self.document["components"]["examples"][name]["value"]

    def _schema(self, method: str, path: str, status: int) -> Mapping[str, Any] | None:
        operation = self.document["paths"][self._template(path)][method.lower()]
        response = self._resolved(operation["responses"][str(status)])
        content = response.get("content", {}).get("application/json", {})
        found: Mapping[str, Any] | None = content.get("schema")
        return found

    def _template(self, path: str) -> str:
        """The path of the document that fits, with the fewest parameters."""
        for template in self._paths:
            if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
                return str(template)
        raise AssertionError(f"the document has no path for {path}")

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def _rooted(self, schema: Any) -> Any:
        """References point into the whole document; a oneOf of schemas that require nothing is read as an anyOf."""
        if isinstance(schema, Mapping):
            return {
                "anyOf" if name == "oneOf" else name: f"{_URI}{value}" if name == "$ref" else self._rooted(value)
                for name, value in schema.items()
            }
        return [self._rooted(item) for item in schema] if isinstance(schema, list) else schema

    def _unknown_fields(self, schema: Mapping[str, Any], body: Any, where: str) -> Iterator[str]:
        """Fields nothing in the schema names; the documents allow any."""
        schema = self._resolved(schema)
        if isinstance(body, list):
            for number, item in enumerate(body):
                yield from self._unknown_fields(schema.get("items", {}), item, f"{where}/{number}")
        known = self._known_fields(schema)
        if not isinstance(body, dict) or not known:
            return
        for name, value in body.items():
            if name in known:
                yield from self._unknown_fields(known[name], value, f"{where}/{name}")
            else:
                yield f"{where}/{name}: no such field in the document"

    def _known_fields(self, schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        schema = self._resolved(schema)
        known: dict[str, Mapping[str, Any]] = dict(schema.get("properties", {}))
        for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            known |= self._known_fields(part)
        return known


class Watcher:
    """Every answer an HTTP session gets, held against a document."""

    def __init__(self, document: ApiDocument, known_extras: frozenset[str] = frozenset()) -> None:
        """known_extras: fields real answers carry though the document does not name them."""
        self._document, self._extras = document, known_extras
        self.faults: list[str] = []
        self.seen: set[tuple[str, str, int]] = set()

    def watch(self, session: requests.Session) -> None:
        session.hooks["response"].append(self._look)

    def _look(self, response: requests.Response, *_: Any, **__: Any) -> None:
        method, path = str(response.request.method), response.request.path_url.partition("?")[0]
        body = response.json() if response.content else None
        self.seen.add((method, path, response.status_code))
        for fault in self._document.faults(method, path, response.status_code, body):
            if fault.partition(":")[0].rpartition("/")[2] not in self._extras:
                self.faults.append(f"{method} {path} {response.status_code}: {fault}")


@cache
def document(name: str) -> ApiDocument:
    """trading-api or market-data-api."""
    return ApiDocument(json.loads((DOCUMENTS / f"{name}.json").read_text(encoding="utf-8")))


def _error_faults(body: Any) -> list[str]:
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        return [f"an error needs a message: {body!r}"]
    code = body.get("code", 0)
    return [] if isinstance(code, int) else [f"the code must be a number: {code!r}"]
