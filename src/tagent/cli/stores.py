"""Where the command line keeps its runs: the store that is named, else a file in this folder."""

from importlib.util import find_spec

import click

from tagent.config import TAgentConfig

DEFAULT_STORE = "sqlite:///.tagent/runs.db"
MEMORY_STORE = "memory://"


def with_store(config: TAgentConfig, named: str | None) -> TAgentConfig:
    """Return `config` with the store to use: `named`, else its own, else the default of the command line."""
    if named:
        return config.merged(TAgentConfig(store=named))
    if "store" in config.model_fields_set:
        return config
    if find_spec("sqlalchemy") is None:
        click.echo("Runs are kept in memory: pip install tagent[persistence] to keep them on disk.", err=True)
        return config.merged(TAgentConfig(store=MEMORY_STORE))
    return config.merged(TAgentConfig(store=DEFAULT_STORE))
