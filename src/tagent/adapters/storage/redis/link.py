"""One connection to the server, with types: commands go out together, and their answers come back in order."""

from collections.abc import Callable, Sequence
from typing import Protocol

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from tagent.adapters.storage.redis.scripts import Command, with_source

Reply = bytes | int | None | list["Reply"] | ResponseError
"""What a command is answered. An error that the server reports is an answer too."""


class Connection(Protocol):
    """What we use of redis-py's connection, which has no types."""

    def connect(self) -> None:
        """Open it, unless it is open."""
        ...

    def disconnect(self) -> None:
        """Close it, unless it is closed."""
        ...

    def can_read(self, timeout: float) -> bool:
        """Return whether something has come that nobody asked for."""
        ...

    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]:
        """Return the commands as they are sent."""
        ...

    def send_packed_command(self, command: list[bytes]) -> None:
        """Send what was packed."""
        ...

    def read_response(self) -> Reply:
        """Return the next answer, or raise it if it is an error."""
        ...


class Link:
    """A connection for one thread at a time. It never sends anything twice by itself.

    Args:
        make: Makes a connection of redis-py that does not try again.

    Raises:
        RedisError: If the server cannot be reached or refuses the connection.
    """

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._connection = make()
        self._connection.connect()

    def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the answers to `commands`, which take one way there and one back.

        A script that the server does not know, as after a restart, has done nothing; it is sent again,
        this time whole.

        Raises:
            RedisError: If the connection broke: nobody knows which of the commands were carried out.
                It is closed then.
        """
        replies = self._exchange(commands)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = self._exchange([with_source(commands[place]) for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        return replies

    def is_of_use(self) -> bool:
        """Return whether nothing speaks against using it again: a server that went away has closed it."""
        try:
            return not self._connection.can_read(0)
        except RedisConnectionError:
            return False

    def close(self) -> None:
        """Let go of it; closing twice does no harm."""
        self._connection.disconnect()

    def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
            return [self._reply() for _ in commands]
        except (RedisError, OSError):
            self.close()
            raise

    def _reply(self) -> Reply:
        try:
            return self._connection.read_response()
        except ResponseError as error:  # the server's answer to this one command
            return error
