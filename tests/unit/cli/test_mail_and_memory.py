"""`tagent messages` and `tagent memory`: what is lists' business, and what is nobody's."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tagent.cli.main import cli
from tagent.messaging.dead_letters import dead_letter
from tagent.names import dead_letters
from tagent.ports.documents import Put
from tagent.ports.effects import Effects
from tagent.ports.messages import Message, NewMessage
from tagent.runtime import open_services_on


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file:///{tmp_path}/runs"


@pytest.fixture
def tagent(store: str) -> Callable[..., Result]:
    """Return what calls a command on one store; whatever it raises is raised."""

    def called(*arguments: str) -> Result:
        words = [*arguments, "--store", store]
        return CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)

    return called


def written(effects: Effects, store: str) -> None:
    """Write something into the store."""

    async def write() -> None:
        async with open_services_on(store) as services:
            await services.store.write(effects)

    asyncio.run(write())


def test_dead_letters_are_listed_with_what_went_wrong(tagent: Callable[..., Result], store: str) -> None:
    """It is what whoever looks at them wants to know first; of other messages there is none."""
    message = Message("pipeline/clerk", 7, 0.0, b'{"v": 1, "data": {"table": 6}}', "", "pipeline:shop", "")
    letter = dead_letter("clerk", message, ValueError("No table\n\x1b[2J."), failures=3)
    written(Effects(messages=(letter,)), store)
    headers, row = tagent("messages", "list", "--to", "dead:clerk").stdout.splitlines()
    assert headers.split() == ["place", "given", "up", "error", "sent", "by", "data"]
    assert "ValueError: No table \\x1b[2J." in row
    assert row.endswith('pipeline:shop  {"table":6}')
    (told,) = json.loads(tagent("messages", "list", "--to", "dead:clerk", "--json").stdout)
    assert told["data"]["code"] == "ValueError"
    tagent("messages", "send", "Hello", "--to", "clerk")
    assert tagent("messages", "list", "--to", "clerk").stdout.split()[:4] == ["place", "sent", "by", "data"]


def test_a_dead_letter_that_cannot_be_read_hides_no_other(tagent: Callable[..., Result], store: str) -> None:
    """Somebody may have put anything there."""
    message = NewMessage(dead_letters("clerk"), b'{"v":1,"data":{"order":7}}', sender="x")
    written(Effects(messages=(message,)), store)
    _, row = tagent("messages", "list", "--to", "dead:clerk").stdout.splitlines()
    assert "It cannot be read." in row
    assert "order" in row


def test_nobody_sends_dead_letters(tagent: Callable[..., Result], store: str) -> None:
    """They could not be read as such."""
    with pytest.raises(click.UsageError, match="Nobody sends dead letters"):
        tagent("messages", "send", "Hello", "--to", "dead:clerk")
    assert tagent("messages", "list").stdout == ""


def test_memories_are_listed_that_can_be_looked_into(tagent: Callable[..., Result], store: str) -> None:
    """What tagent keeps beside them is nobody's memory."""
    scopes = ["workers", "schedule/report", "approvals", "cache", "run/1f2e/cache", dead_letters("clerk")]
    written(Effects(puts=tuple(Put(scope, "k", b"{}") for scope in scopes)), store)
    assert tagent("memory", "list").stderr == "Nothing is remembered yet.\n"
    memories = ["pipeline:report", "run:1f2e", "shared:team", "space:prices", "step:1f2e/search"]
    for scope in memories:
        tagent("memory", "set", "price", "3", "--scope", scope)
    found = [it["scope"] for it in json.loads(tagent("memory", "list", "--json").stdout)]
    assert sorted(found) == memories
    for scope in found:
        assert tagent("memory", "get", "price", "--scope", scope).stdout == "3\n"


def test_messages_that_are_sent_stay_messages(tagent: Callable[..., Result], store: str) -> None:
    """A topic may be called like that."""
    written(Effects(messages=(NewMessage("topic/dead.letters", b'{"v": 1, "data": 1}'),)), store)
    headers, _ = tagent("messages", "list", "--topic", "dead.letters").stdout.splitlines()
    assert "error" not in headers
