"""A PostgreSQL store's URL: what the driver is given, and what the store is called without the password."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tagent.exceptions import ConfigurationError

_DEFAULTS: Mapping[str, str | int] = {
    "connect_timeout": 10,
    "fallback_application_name": "tagent",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Unless the URL says otherwise, a server that has vanished is noticed within half a minute, not after hours."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a PostgreSQL database is, and who asks.

    Attributes:
        name: What messages call the store; it holds no secret.
        parameters: What libpq connects with; among it may be a password.
    """

    name: str
    parameters: Mapping[str, str | int] = field(repr=False)


def address_of(url: str) -> Address:
    """Return the address in a URL `postgresql://user:password@host:port/database?option=value`.

    Every part may be left out, and the options are those of libpq:
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS.

    Raises:
        ConfigurationError: If libpq does not understand it. The message holds no part of the URL: where
            a password has a character that means something in a URL, any part may be a part of it.
    """
    try:
        split = urlsplit(url)
        known = conninfo_to_dict(url) if _has_one_reading(split.netloc, url) else None
    except (psycopg.Error, ValueError):
        known = None
    if known is None or not _has_ports(known):
        raise ConfigurationError(
            "The store's URL is not one that PostgreSQL understands.",
            hint="It is postgresql://user:password@host:5432/database?option=value, with the options of libpq. "
            "In a user or a password, @ is written %40, / is %2F, : is %3A, ? is %3F, # is %23 and % is %25.",
        )
    given = {key: value for key, value in known.items() if value is not None}
    return Address(_name(given), {**_DEFAULTS, **given, "client_encoding": "UTF8"})


def _has_one_reading(authority: str, url: str) -> bool:
    """Return whether the only `@` is the one before the host, so that no part of a password is taken for one."""
    return url.count("@") == authority.count("@") <= 1


def _has_ports(known: Mapping[str, str | int | None]) -> bool:
    return all(not port or port.isdecimal() for port in str(known.get("port") or "").split(","))


def _name(given: Mapping[str, str | int]) -> str:
    user = f"{given['user']}@" if "user" in given else ""
    hosts = str(given.get("host", given.get("hostaddr", ""))).split(",")
    ports = str(given.get("port", "")).split(",")
    if len(ports) != len(hosts):  # one for all
        ports = ports[:1] * len(hosts)
    in_directory = f"?host={hosts[0]}" if hosts[0].startswith("/") else ""
    places = ",".join(
        f"{f'[{host}]' if ':' in host else '' if in_directory else host}{f':{port}' if port else ''}"
        for host, port in zip(hosts, ports, strict=True)
    )
    return f"postgresql://{user}{places}/{given.get('dbname', '')}{in_directory}"
