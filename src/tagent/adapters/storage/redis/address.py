"""From a URL to connections, and to the name by which messages call the store."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import connection as redis_py

from tagent.adapters.storage.redis.link import Connection, Link
from tagent.exceptions import ConfigurationError

PREFIX = "tagent"
"""What the names of all keys begin with, unless the URL says otherwise."""

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long a server may take: longer than a disk's worst fsync, shorter than a lease."""

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("prefix", "socket_connect_timeout", "socket_timeout", *_FILES)
_HINT = f"The form is redis://user:password@host:6379/0, then ?name=value for {', '.join(_OPTIONS)}."


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is.

    Attributes:
        name: The URL without user, password and options: messages may show it.
        prefix: What the names of all keys begin with.
        is_encrypted: Whether the connections use TLS.
        settings: Everything that redis-py wants to know; holds the password.
    """

    name: str
    prefix: str
    is_encrypted: bool
    settings: dict[str, object] = field(repr=False)

    def connect(self) -> Link:
        """Return a new connection.

        Raises:
            RedisError: If the server cannot be reached or refuses the connection.
        """
        return Link(self._connection)

    def _connection(self) -> Connection:
        # RESP 2, which every server speaks. Without `retry`, redis-py sends nothing twice.
        kind: Callable[..., Connection] = redis_py.SSLConnection if self.is_encrypted else redis_py.Connection
        return kind(protocol=2, **self.settings)


def address_of(url: str) -> Address:
    """Return where the store is that `url` names.

    Raises:
        ConfigurationError: If the URL is not understood; the message holds no part that may be a password.
    """
    try:
        parts = urlsplit(url)
        host, port = unquote(parts.hostname or "localhost"), parts.port or 6379
    except ValueError:  # its text holds a part of the URL, perhaps of a password with a '/' or '@' in it
        raise ConfigurationError("The Redis URL has no valid host and port.", hint=_HINT) from None
    database = unquote(parts.path).strip("/") or "0"
    if not re.fullmatch(r"[0-9]{1,9}", database):
        raise ConfigurationError("The path of the Redis URL is not the number of a database.", hint=_HINT)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        raise ConfigurationError(f"{unknown[0]!r} is not an option of a Redis store.", hint=_HINT)
    prefix = options.get("prefix", PREFIX)
    if not re.fullmatch(r"[\w.-]+", prefix, re.ASCII):  # with a colon, one store's names could be another's
        raise ConfigurationError("The prefix of a Redis store is made of letters, digits, '_', '.' and '-'.")
    settings: dict[str, object] = {
        "host": host,
        "port": port,
        "db": int(database),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "socket_connect_timeout": _seconds(options, "socket_connect_timeout", CONNECT_SECONDS),
        "socket_keepalive": True,
        "socket_timeout": _seconds(options, "socket_timeout", ANSWER_SECONDS),
    }
    shown = f"[{host}]" if ":" in host else host
    return Address(
        name=f"{parts.scheme}://{shown}:{port}/{int(database)}",
        prefix=prefix,
        is_encrypted=parts.scheme == "rediss",
        settings=settings | {name: options[name] for name in _FILES if name in options},
    )


def _seconds(options: dict[str, str], name: str, default: float) -> float:
    try:
        seconds = float(options.get(name, default))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{name!r} is not a number of seconds above 0.", hint=_HINT)
    return seconds
