"""The Lua scripts, and how one is called."""

import hashlib
from importlib.resources import files

Command = tuple[bytes, ...]
"""A command of Redis with its arguments."""

_DIRECTORY = files(__package__) / "lua"


class Script:
    """A script that does one thing to the store, whole or not at all.

    Args:
        name: Its file's name, without `.lua`.
        is_writing: Whether it needs what `shared.lua` defines.
    """

    def __init__(self, name: str, *, is_writing: bool = True) -> None:
        parts = ("shared", name) if is_writing else (name,)
        self._source = b"\n".join((_DIRECTORY / f"{part}.lua").read_bytes() for part in parts)
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


CREATE_RUN = Script("create_run")
CLAIM = Script("claim")
RENEW = Script("renew")
RELEASE = Script("release")
COMMIT = Script("commit")
DELETE = Script("delete")
SEARCH = Script("search", is_writing=False)
