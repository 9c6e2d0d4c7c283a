"""Where the command line keeps its runs: the store that is named, else a file in this folder."""

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click

from tagent import surroundings

if TYPE_CHECKING:
    from tagent.config import TAgentConfig

DEFAULT_STORE = "sqlite:///.tagent/runs.db"
PLAIN_STORE = "file:///.tagent/runs"
"""The default where the packages for a database are not installed."""

MEMORY_STORE = "memory://"

HIDDEN = "***"

_PASSWORD = re.compile(r"(?<=:).*(?=@)", re.DOTALL)


def store_url(named: str | None) -> str:
    """Return the URL of the store to use: `named`, else that of the settings, else the default of the command line."""
    chosen = named or surroundings.chosen_store() or default_store()
    if isinstance(chosen, str):
        return chosen
    from tagent.config import TAgentConfig  # says what is wrong; takes longer to import than a store to be looked at

    return TAgentConfig.load().store


def with_store(config: "TAgentConfig", named: str | None) -> "TAgentConfig":
    """Return `config` with the store to use: `named`, else its own, else the default of the command line."""
    if named:
        return config.model_copy(update={"store": named})
    if "store" in config.model_fields_set:
        return config
    return config.model_copy(update={"store": default_store()})


def default_store() -> str:
    """Return the URL of the store that the command line uses unless another is chosen."""
    if find_spec("sqlalchemy") is not None:
        return DEFAULT_STORE
    click.echo(f"Runs are kept in {PLAIN_STORE}: with tagent[persistence] it would be {DEFAULT_STORE}.", err=True)
    return PLAIN_STORE


def without_password(url: str) -> str:
    """Return a store's URL as it may be printed. In doubt too much is hidden.

    Example:
        >>> without_password("postgresql://me:secret@host/db?sslpassword=other&sslmode=require")
        'postgresql://me:***@host/db?sslpassword=***&sslmode=require'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return HIDDEN
    place, question, query = rest.partition("?")
    if "@" in query and "@" not in place and not place.startswith("/"):  # a password with a ? in it
        place, question, query = rest, "", ""
    if not place.startswith("/"):
        place = _PASSWORD.sub(HIDDEN, place, count=1)
    options = "&".join(_option_without_password(option) for option in query.split("&"))
    return f"{scheme}://{place}{question}{options}"


def _option_without_password(option: str) -> str:
    name, equals, _ = option.partition("=")
    return f"{name}={HIDDEN}" if equals and "pass" in unquote(name).lower() else option
