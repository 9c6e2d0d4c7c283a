"""From a URL to a server."""

import pytest

from tagent.adapters.storage.redis.address import address_of
from tagent.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://me:secret@host", "redis://host:6379/0"),
        ("redis://host:7000/12?prefix=mine", "redis://host:7000/12"),
        ("rediss://:secret@[::1]:6380/", "rediss://[::1]:6380/0"),
    ],
)
def test_a_store_is_called_by_its_server_and_database(url: str, name: str) -> None:
    """Messages name it, and never its password."""
    address = address_of(url)
    assert address.name == name
    assert "secret" not in repr(address)


def test_a_url_says_how_to_connect() -> None:
    """With what is not said as a store needs it."""
    address = address_of("rediss://me:a%2Fb%40c@host:7000/2?prefix=mine&socket_timeout=3&ssl_ca_certs=/ca.pem")
    assert (address.prefix, address.is_encrypted) == ("mine", True)
    assert address.settings == {
        "host": "host",
        "port": 7000,
        "db": 2,
        "username": "me",
        "password": "a/b@c",
        "socket_connect_timeout": 5.0,
        "socket_keepalive": True,
        "socket_timeout": 3.0,
        "ssl_ca_certs": "/ca.pem",
    }
    plain = address_of("redis://host")
    assert (plain.prefix, plain.is_encrypted, plain.settings["password"]) == ("tagent", False, None)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://me:hunter2/x@host:6379", "no valid host and port"),
        ("redis://me:hunter2@host:port", "no valid host and port"),
        ("redis://me:hunter2@[::1", "no valid host and port"),
        ("redis://host:70000", "no valid host and port"),
        ("redis://host/hunter2", "not the number of a database"),
        ("redis://host/-1", "not the number of a database"),
        ("redis://host?decode_responses=hunter2", "'decode_responses' is not an option"),
        ("redis://host?prefix=", "The prefix"),
        ("redis://host?prefix=hunter2:b", "The prefix"),
        ("redis://host?prefix=*", "The prefix"),
        ("redis://host?socket_timeout=hunter2", "'socket_timeout' is not a number of seconds above 0"),
        ("redis://host?socket_timeout=0", "'socket_timeout' is not a number of seconds above 0"),
        ("redis://host?socket_connect_timeout=inf", "'socket_connect_timeout' is not a number"),
        ("redis://host?socket_timeout=nan", "'socket_timeout' is not a number"),
    ],
)
def test_a_url_that_is_not_understood_is_refused_without_being_shown(url: str, message: str) -> None:
    """A misplaced character makes a password of something else."""
    with pytest.raises(ConfigurationError) as raised:
        address_of(url)
    assert message in raised.value.message
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None
