"""What the process was given from outside: its environment, and the settings file beside it.

The only module that reads the environment. It checks no values, so it costs no time to import.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tagent.exceptions import ConfigurationError

ENVIRONMENT_PREFIX = "TAGENT_"
SETTINGS_FILE = "tagent.toml"


def environment() -> Mapping[str, str]:
    """Return this process's variables."""
    return os.environ


def settings_of_file(
    file: str | Path | None = None, variables: Mapping[str, str] | None = None
) -> tuple[str, Mapping[str, object]]:
    """Return the name of the settings file and what it sets; nothing if there is none.

    Args:
        file: Read when given; else `TAGENT_CONFIG` if set; else `tagent.toml` if it exists here.
        variables: The environment; this process's own when None.

    Raises:
        ConfigurationError: If a file that is named is missing, or the file is no TOML.
    """
    variables = environment() if variables is None else variables
    named = file or variables.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    path = Path(named or SETTINGS_FILE)
    if not named and not path.is_file():
        return str(path), {}
    import tomllib  # few have such a file

    try:
        return str(path), tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The configuration file {path} is not valid TOML: {error}.") from error


def variable_of(setting: str, variables: Mapping[str, str]) -> str | None:
    """Return what the environment says of a setting; None if nothing."""
    return variables.get(ENVIRONMENT_PREFIX + setting.upper()) or None


def chosen_store() -> object:
    """Return the store that environment or file name, as it was written; None if neither does.

    Raises:
        ConfigurationError: As for `settings_of_file`.
    """
    return variable_of("store", environment()) or settings_of_file()[1].get("store")
