"""The crash points of the SQL stores: around BEGIN and COMMIT, behind each statement. And a full disk, for SQLite."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection

from crash import effects
from crash.effects import points
from crash.orders import Orders
from crash.write_path.replacing import replace_all
from tagent.adapters.storage.sql import postgresql, schema, sqlite
from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.adapters.storage.sql.postgresql_address import Address
from tagent.adapters.storage.sql.writer import GroupWriter

NO_LIMIT = 1 << 30

PASSED = {"BEGIN": "writer.begin", "NOTIFY": "writer.notify"}
"""The first word of a statement -> how its points are called."""


class PointedCursor:
    """A cursor with a crash point before and behind BEGIN, and one behind every other statement."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, statement: str, *parameters: Mapping[str, object] | Sequence[object]) -> object:
        name = PASSED.get(statement.split(maxsplit=1)[0], "writer.statement")
        if name == "writer.begin":
            points.passed("writer.begin.before")
        found = self._cursor.execute(statement, *parameters)
        points.passed(f"{name}.after")
        return found

    def executemany(self, statement: str, parameters: Sequence[Sequence[object]], /) -> object:
        found = self._cursor.executemany(statement, parameters)
        points.passed("writer.statement.after")
        return found

    def fetchall(self) -> Sequence[Sequence[Any]]:
        return self._cursor.fetchall()

    def close(self) -> None:
        self._cursor.close()


class PointedConnection:
    """The writer's connection with a crash point around each COMMIT, and a disk that may be full."""

    def __init__(self, connection: DriverConnection, *, full_after: int) -> None:
        self.connection = connection
        self._full_after = full_after
        self._commits = 0

    def cursor(self) -> Cursor:
        if self._full_after and (effects.folder() / "room").exists():
            self._full_after = 0
            self.connection.cursor().execute(f"PRAGMA max_page_count = {NO_LIMIT}")
        return PointedCursor(self.connection.cursor())

    def commit(self) -> None:
        points.passed("writer.commit.before")
        self.connection.commit()
        points.passed("writer.commit.after")  # on disk, and nobody knows yet
        self._commits += 1
        if self._full_after and self._commits == self._full_after:
            cursor = self.connection.cursor()
            cursor.execute("PRAGMA page_count")
            ((pages,),) = cursor.fetchall()
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


def put_points_in(orders: Orders) -> None:
    """Put the points into this process's SQL stores."""

    class PointedWriter(GroupWriter):
        def __init__(
            self,
            connect: Callable[[], DriverConnection],
            *,
            is_lost: Callable[[DriverConnection], bool] = lambda _: False,
            **settings: Any,
        ) -> None:
            super().__init__(
                lambda: PointedConnection(connect(), full_after=orders.full_after),
                is_lost=lambda pointed: isinstance(pointed, PointedConnection) and is_lost(pointed.connection),
                **settings,
            )

    def connect_to_postgresql(address: Address) -> DriverConnection:
        connection = postgresql.connect(address)
        connection.execute(f"SET lock_timeout = '{orders.busy_seconds * 1000:.0f}ms'".encode())
        return cast("DriverConnection", connection)  # as in the place of what it replaces

    migrate = schema._migrate

    def pointed_migrate(connection: Connection) -> None:
        with points.around("schema.migrate"):
            migrate(connection)

    replace_all(
        (sqlite, "GroupWriter", PointedWriter),
        (postgresql, "GroupWriter", PointedWriter),
        (sqlite, "BUSY_SECONDS", orders.busy_seconds),
        (postgresql, "_connect_writer", connect_to_postgresql),
        (schema, "_migrate", pointed_migrate),
    )
