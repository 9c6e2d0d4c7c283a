"""What a provider is sent besides the prompt: from settings of ours to those of pydantic-ai."""

import sys
from pathlib import Path
from typing import cast

import pydantic_ai.models
from pydantic_ai import ModelSettings
from pydantic_ai.models import Model

from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, nearest

OURS: ModelSettings = {"framing_announcement": "never", "max_retries": 0}
"""No system message amid a re-ask, which small models copy; and no tries of the vendor's on top of ours."""


def settings_for(model: Model, config: TAgentConfig) -> ModelSettings:
    """Return the settings that are sent to `model`.

    A name that begins with another provider's, like `anthropic_` for a model of OpenAI, is let be: the settings
    of an agent may serve several models, and pydantic-ai sends each only its own.

    Raises:
        ConfigurationError: If `config.model_settings` has a name that is not known, or that is ours to set.
    """
    known = known_names(model)
    for name in config.model_settings:
        if name in OURS:
            raise ConfigurationError(f"The model setting {name!r} is tagent's own.", hint="Leave it out.")
        if name not in known and not _is_of_another(name, known):
            raise ConfigurationError(f"{name!r} is not a setting of {config.model}.{nearest(name, known)}")
    settings = dict(config.model_settings)
    if config.temperature is not None:
        settings["temperature"] = config.temperature
    if config.max_output_tokens is not None:
        settings["max_tokens"] = config.max_output_tokens
    return cast("ModelSettings", settings | OURS)  # checked by name; the values are the provider's to judge


def known_names(model: Model) -> frozenset[str]:
    """Return the names of all settings that a model of this class may be sent."""
    names = set(ModelSettings.__annotations__)
    for kind in type(model).__mro__:
        module = sys.modules[kind.__module__]
        # The class itself does not say which settings it takes; they stand beside it.
        for name, value in vars(module).items():
            if name.endswith("ModelSettings"):
                names.update(value.__annotations__)
    return frozenset(names)


def _is_of_another(name: str, known: frozenset[str]) -> bool:
    prefix = name.partition("_")[0]
    return prefix in _providers() and not any(other.startswith(f"{prefix}_") for other in known)


def _providers() -> frozenset[str]:
    """Return the providers' names: of modules, which are not imported, for each needs packages of its own."""
    folders = pydantic_ai.models.__path__
    return frozenset(
        file.stem for folder in folders for file in Path(folder).iterdir() if not file.stem.startswith("_")
    )
