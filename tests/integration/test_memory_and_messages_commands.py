"""`tagent memory` and `tagent messages`, as people use them."""

import json
import subprocess
import threading
from pathlib import Path

import pytest

from commands import tagent


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file:///{tmp_path}/runs"


def lines(ran: subprocess.CompletedProcess[str]) -> list[str]:
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_what_is_remembered_is_listed_read_searched_and_forgotten(tmp_path: Path, store: str) -> None:
    """A person looks into the memory of a pipeline, and mends it."""

    def memory(*arguments: str) -> subprocess.CompletedProcess[str]:
        return tagent("memory", *arguments, "--store", store, cwd=tmp_path)

    assert "Nothing is remembered yet." in memory("list").stderr
    assert lines(memory("set", "price", "3", "--as", "json", "--scope", "space:tea", "--ttl", "2h")) == [
        "price of space:tea is at version 1"
    ]
    memory("set", "note", "Green tea from Kyōto", "--scope", "pipeline:report")
    assert lines(memory("get", "note", "--scope", "pipeline:report")) == ["Green tea from Kyōto"]
    assert [line.split() for line in lines(memory("list"))][1:] == [
        ["pipeline:report", "1", "38"],
        ["space:tea", "1", "16"],
    ]
    (found,) = json.loads(memory("search", "KYŌTO green", "--scope", "pipeline:report", "--json").stdout)
    assert (found["key"], found["value"], found["version"], found["expires_at"]) == (
        "note",
        "Green tea from Kyōto",
        1,
        None,
    )
    conflict = memory("set", "price", "4", "--scope", "space:tea", "--if-version", "9")
    assert (conflict.returncode, "store.document_conflict" in conflict.stderr) == (1, True)
    deleted = memory("delete", "price", "nothing", "--scope", "space:tea", "--yes")
    assert (deleted.returncode, deleted.stdout) == (1, "1 deleted\n")
    assert memory("get", "price", "--scope", "space:tea").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("memory list --scope spaces:x", "Did you mean 'space'?"),
        ("memory get k --scope report", "Write one of pipeline:..."),
        ("memory set k v --scope space:x --as json", "'v' is not JSON"),
        ("memory list --prefix x", "Say which: --scope SCOPE."),
        ("messages send x", "Say where it goes"),
        ("messages send x --to run:", "is no name"),
        ("messages send x --topic orders.*", "is no topic"),
        ("messages send x --to a --topic b", "not both"),
        ("messages tail orders.**", "is no pattern"),
        ("messages tail", "Give a pattern of topics"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(tmp_path: Path, store: str, arguments: str, told: str) -> None:
    """Usage errors end with 2, and nothing is written."""
    ran = tagent(*arguments.split(), "--store", store, cwd=tmp_path)
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert told in " ".join(ran.stderr.split())


def test_messages_are_sent_listed_and_followed(tmp_path: Path, store: str) -> None:
    """A person sends an event by hand, and watches."""

    def messages(*arguments: str) -> subprocess.CompletedProcess[str]:
        return tagent("messages", *arguments, "--store", store, cwd=tmp_path)

    assert "Nothing was sent yet." in messages("list").stderr
    for _ in range(2):  # a key is there once
        sent = messages("send", '{"id": 7}', "--as", "json", "--topic", "orders.created", "--key", "a")
        assert lines(sent) == ["message 1 of topic:orders.created"]
    messages("send", "hello", "--to", "report")
    assert [line.split() for line in lines(messages("list"))][1:] == [
        ["pipeline:report", "1", "1"],
        ["topic:orders.created", "1", "1"],
    ]
    (found,) = json.loads(messages("list", "--topic", "orders.created", "--json").stdout)
    assert (found["address"], found["seq"], found["data"], found["key"]) == (
        "topic:orders.created",
        1,
        {"id": 7},
        "a",
    )
    followed: list[str] = []

    def follow() -> None:
        followed.extend(lines(messages("tail", "orders.*", "--all", "--limit", "2", "--json")))

    thread = threading.Thread(target=follow)
    thread.start()
    messages("send", "later", "--topic", "orders.paid")
    messages("send", "elsewhere", "--topic", "orders.eu.paid")
    thread.join(timeout=60)
    assert [json.loads(line)["data"] for line in followed] == [{"id": 7}, "later"]
    assert "Nobody reads anything yet." in messages("readers").stderr
