"""The crash points of the Redis store: before scripts are sent, before their answers are read, and behind each."""

from collections.abc import Callable
from typing import Any

from crash.effects import points
from crash.orders import Orders
from crash.write_path.replacing import replace_all
from tagent.adapters.storage.redis import store
from tagent.adapters.storage.redis.link import Connection, Link, Reply
from tagent.adapters.storage.redis.writer import Writer


class PointedConnection:
    """The writer's connection to the server, with a crash point before and behind each message and answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def send_packed_command(self, command: list[bytes]) -> None:
        with points.around("script.send"):
            self._connection.send_packed_command(command)

    def read_response(self) -> Reply:
        reply = self._connection.read_response()
        points.passed("script.reply.after")
        return reply


def put_points_in(orders: Orders) -> None:
    """Put the points into this process's Redis stores."""
    del orders

    class PointedWriter(Writer):
        def __init__(self, connect: Callable[[], Link], **settings: Any) -> None:
            def pointed() -> Link:
                link = connect()
                link._connection = PointedConnection(link._connection)
                return link

            super().__init__(pointed, **settings)

    replace_all((store, "Writer", PointedWriter))
