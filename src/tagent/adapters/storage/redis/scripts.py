"""The Lua scripts, and how one is called."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files

Command = tuple[bytes, ...]
"""A command of Redis with its arguments."""

_DIRECTORY = files(__package__) / "lua"


class Script:
    """A script that does one thing to the store, whole or not at all.

    Args:
        name: Its file's name, without `.lua`.
        parts: The files before it, which define what it needs.
    """

    def __init__(self, name: str, parts: Sequence[str] = ()) -> None:
        self._source = b"\n".join((_DIRECTORY / f"{part}.lua").read_bytes() for part in (*parts, name))
        self._sha = hashlib.sha1(self._source, usedforsecurity=False).hexdigest().encode()
        _SOURCES[self._sha] = self._source

    def call(self, prefix: bytes, *arguments: bytes) -> Command:
        """Return the command that runs it in the store under `prefix`, which ends with a colon."""
        return (b"EVALSHA", self._sha, b"1", prefix, *arguments)


_SOURCES: dict[bytes, bytes] = {}
"""SHA-1 -> script."""


def with_source(command: Command) -> Command:
    """Return the call of a script as one that a server understands which does not know the script."""
    return (b"EVAL", _SOURCES[command[1]], *command[2:])


_JOURNAL = ("shared", "journals")
_EFFECTS = ("memory", "messages", "effects")

CREATE_RUN = Script("create_run", (*_JOURNAL, "no_effects"))
CREATE_RUN_WITH_EFFECTS = Script("create_run", (*_JOURNAL, *_EFFECTS))
CLAIM = Script("claim", _JOURNAL)
RENEW = Script("renew", _JOURNAL)
RELEASE = Script("release", _JOURNAL)
COMMIT = Script("commit", (*_JOURNAL, "no_effects"))
COMMIT_WITH_EFFECTS = Script("commit", (*_JOURNAL, *_EFFECTS))
DELETE = Script("delete", _JOURNAL)
SEARCH = Script("search")

WRITE = Script("write", ("shared", *_EFFECTS))
FORGET = Script("forget", ("shared", *_EFFECTS))
SWEEP = Script("sweep", ("shared", *_EFFECTS))
DOCUMENTS = Script("documents", ("shared", "memory"))
