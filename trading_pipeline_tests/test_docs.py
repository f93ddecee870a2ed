"""What the documents say holds: made tables are fresh, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from trading_pipeline.cli.app import app, hoisted
from trading_pipeline_tests.docs import DOCS, PAGES

ROOT = DOCS.parent
DOCUMENTS = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
COMMAND = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?(trading-pipeline(?: .*)?)$")
INLINE = re.compile(r"`(?:\.venv/bin/)?(trading-pipeline [^`]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)|<img src=\"([^\"]+)\"")


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_made_page_is_fresh(page: str) -> None:
    made = PAGES[page]()

    assert (DOCS / page).read_text(encoding="utf-8") == made, "run: python -m trading_pipeline_tests.docs"


def _commands(document: Path) -> Iterator[str]:
    in_block = False
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            in_block = not in_block
        elif in_block:
            if found := COMMAND.match(line):
                yield found[1].partition("  #")[0]
        else:
            yield from INLINE.findall(line)


COMMANDS = sorted({command for document in DOCUMENTS for command in _commands(document)})


def test_the_documents_show_commands() -> None:
    assert any(command.startswith("trading-pipeline session replay") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_the_documents_parses(command: str) -> None:
    words = hoisted([word for word in shlex.split(command)[1:] if word not in {"…", "..."}])

    group, arguments = typer.main.get_command(app), words
    while isinstance(group, TyperGroup):
        context = group.make_context(group.name, list(arguments))
        rest = [*context._protected_args, *context.args]
        _, found, arguments = group.resolve_command(context, rest)
        assert found is not None
        if isinstance(found, TyperGroup) and not arguments:
            return  # a family of commands is named, not one of them
        group = found
    if arguments:  # a verb is named, not called
        group.make_context(group.name, list(arguments), parent=context)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(document: Path) -> None:
    targets = [one or other for one, other in LINK.findall(document.read_text(encoding="utf-8"))]

    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop().resolve()
        if document in reached or document.suffix != ".md":
            continue
        reached.add(document)
        links = LINK.findall(document.read_text(encoding="utf-8"))
        waiting += [path for one, _ in links if one and (path := document.parent / one).exists()]

    named = (ROOT / "README.md").read_text(encoding="utf-8")  # a page that a command writes need not be there yet
    unreached = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS if path.resolve() not in reached]
    assert [path for path in unreached if f"`{path}`" not in named] == []
