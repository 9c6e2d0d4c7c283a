"""What goes wrong with a server: our errors, which say what happened, to which store, and what to do."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from postgres import server
from tagent.adapters.storage.sql.errors import translated
from tagent.adapters.storage.sql.postgresql import open_postgresql
from tagent.adapters.storage.sql.postgresql_address import address_of
from tagent.exceptions import ConfigurationError, StoreError
from tagent.ports.store_errors import StoreUnavailableError

_numbers = itertools.count()


@pytest.fixture
def database() -> str:
    name = f"errors_{next(_numbers)}"
    server().new_database(name)
    return name


@pytest.fixture
def guest() -> Iterator[str]:
    """A user who may do nothing but connect, once at a time."""
    server().execute("CREATE ROLE guest LOGIN CONNECTION LIMIT 1 PASSWORD 'welcome'")
    yield "guest"
    server().execute("DROP OWNED BY guest")
    server().execute("DROP ROLE guest")


def test_an_unknown_database_is_named_with_the_way_to_make_it() -> None:
    """The first thing that anybody meets; waiting does not help."""
    with pytest.raises(StoreError, match=r"/nowhere does not exist.*createdb") as raised:
        open_postgresql(server().url("nowhere"))
    assert not raised.value.is_retryable
    assert isinstance(raised.value.__cause__, Exception)


@pytest.mark.parametrize(("user", "password"), [("postgres", "swordfish"), ("stranger", "swordfish"), ("postgres", "")])
def test_a_wrong_user_or_password_says_so_and_shows_none(user: str, password: str) -> None:
    """The second thing that anybody meets."""
    with pytest.raises(StoreError, match=r"does not accept the user or the password") as raised:
        open_postgresql(server().url(user=user, password=password))
    assert "swordfish" not in str(raised.value)
    assert not raised.value.is_retryable


def test_a_server_that_is_not_there_may_come_back() -> None:
    """It may be starting just now."""
    with pytest.raises(StoreUnavailableError, match=r"postgresql://me@127\.0\.0\.1:1/db cannot be reached: Conn"):
        open_postgresql("postgresql://me:swordfish@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailableError, match=r"cannot be reached"):
        open_postgresql("postgres://me:swordfish@/db?host=/nowhere/at/all")


def test_the_options_in_a_url_are_those_of_libpq() -> None:
    """Such as whether the connection must be encrypted, which the server of the tests cannot do."""
    with pytest.raises(StoreUnavailableError, match="SSL"):
        open_postgresql(f"{server().url()}?sslmode=require")


def test_a_user_without_permission_to_make_tables_is_told(database: str, guest: str) -> None:
    """Since PostgreSQL 15 that is so by default."""
    with pytest.raises(StoreError, match=r"does not allow.*create them in the schema"):
        open_postgresql(server().url(database, user=guest, password="welcome"))  # noqa: S106 - of this test only


def test_too_many_connections_may_become_fewer(database: str, guest: str) -> None:
    """Others close theirs."""
    url = server().url(database, user=guest, password="welcome")  # noqa: S106 - of this test only
    with psycopg.connect(url), pytest.raises(StoreUnavailableError, match="no connection left"):
        open_postgresql(url)


async def test_tables_of_another_program_are_left_as_they_are(database: str) -> None:
    """`run` is a likely name."""
    server().execute("CREATE TABLE run (theirs int)", database=database)
    with pytest.raises(StoreError, match=r"other tables than those of tagent.*search_path"):
        open_postgresql(server().url(database))
    assert server().execute("SELECT count(*) FROM pg_class WHERE relname = 'definition'", database=database) == [(0,)]
    await open_postgresql(server().place_in(database, "agents")).close()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.DiskFull(), "no room left"),
        (errors.TooManyConnections(), "no connection left"),
        (errors.OutOfMemory(), "out of memory"),
        (errors.ReadOnlySqlTransaction(), "read-only"),
        (errors.SerializationFailure(), "busy"),
        (errors.DeadlockDetected(), "busy"),
        (errors.LockNotAvailable(), "busy"),
        (errors.AdminShutdown(), "lost its connection"),
        (errors.CrashShutdown(), "lost its connection"),
        (errors.CannotConnectNow(), "lost its connection"),
        (errors.IdleInTransactionSessionTimeout(), "lost its connection"),
        (errors.QueryCanceled(), "cancel"),
        (errors.IoError(), "cannot be read or written"),
        (psycopg.OperationalError("the connection is lost"), "lost its connection"),
        (psycopg.InterfaceError("the connection is closed"), "lost its connection"),
        (psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"), "starting up"),
        (psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients already"), "no connection left"),
        (psycopg.OperationalError("failed to resolve host 'x': [Errno -2] Name not known"), "failed to resolve"),
    ],
    ids=repr,
)
def test_what_may_pass_can_be_tried_again(error: Exception, message: str) -> None:
    """The run waits, and goes on when the server can."""
    ours = translated(error, store="postgresql://host/db")
    assert isinstance(ours, StoreUnavailableError)
    assert ours.message.startswith("The store postgresql://host/db ")
    assert message in ours.message
    assert ours.hint


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.ProgramLimitExceeded(), "as large as this"),
        (errors.InsufficientPrivilege(), "does not allow"),
        (errors.UndefinedTable(), "other tables"),
        (errors.DataCorrupted(), "damaged"),
        (errors.UniqueViolation("secret"), "refused: UniqueViolation (23505)"),
        (psycopg.NotSupportedError("secret"), "refused: NotSupportedError"),
        (psycopg.OperationalError("connection failed: no pg_hba.conf entry for host"), "does not let this user in"),
    ],
    ids=repr,
)
def test_what_stays_as_it_is_is_not_tried_again(error: Exception, message: str) -> None:
    """Nothing but a person can change it; and no value gets into the message."""
    ours = translated(error, store="postgresql://host/db")
    assert not isinstance(ours, StoreUnavailableError)
    assert message in ours.message
    assert "secret" not in str(ours)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://", "postgresql:///"),
        ("postgresql:///db", "postgresql:///db"),
        ("postgres://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:swordfish@host:5433/db?sslmode=require", "postgresql://me@host:5433/db"),
        ("postgresql://me:sword%40fish@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=swordfish", "postgresql://me@host/db"),
        ("postgresql://me:swordfish@one:1,two:2/db", "postgresql://me@one:1,two:2/db"),
        ("postgresql://me:swordfish@[::1]:5433/db", "postgresql://me@[::1]:5433/db"),
        ("postgresql://me@/db?host=/run/postgresql", "postgresql://me@/db?host=/run/postgresql"),
    ],
)
def test_a_store_is_called_by_its_url_without_the_secrets(url: str, name: str) -> None:
    """So that everybody knows which one is meant."""
    address = address_of(url)
    assert address.name == name
    assert "swordfish" not in repr(address)
    assert address.parameters["client_encoding"] == "UTF8"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sword@fish@host/db",
        "postgresql://me:sword/fish@host/db",
        "postgresql://me:sword?fish@host/db",
        "postgresql://me:sword#fish@host/db",
        "postgresql://me:sword%fish@host/db",
        "postgresql://me:sword[fish@host/db",
        "postgresql://me:swordfish@host/db?option=fish",
        "postgresql://me:swordfish@host/db?sslmode",
        "postgresql://me:sword:fish@ho:st:x/db",
    ],
)
def test_a_url_with_two_readings_is_refused_without_being_shown(url: str) -> None:
    """Half of a password would else be taken for a host, and be shown as one."""
    with pytest.raises(ConfigurationError, match=r"@ is written %40") as raised:
        open_postgresql(url)
    assert "fish" not in str(raised.value)
    assert "sword" not in str(raised.value).replace("password", "")
    assert raised.value.__cause__ is None


def test_a_silent_server_is_not_waited_for_for_ever_unless_the_url_says_so() -> None:
    """By itself libpq waits for minutes, and for a dead connection for hours."""
    assert address_of("postgresql://host/db").parameters["connect_timeout"] == 10
    assert address_of("postgresql://host/db?connect_timeout=3").parameters["connect_timeout"] == "3"
