"""Whose a model is: the names of providers, as `limits`, circuits and keys know them."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from tagent.exceptions import ConfigurationError, nearest

if TYPE_CHECKING:  # settings take long to import
    from tagent.config import ModelLimits

OPENAI = "openai"

OPENAI_PROVIDERS = frozenset({OPENAI, "openai-chat", "openai-responses"})
"""Ways to ask the one provider for which `OPENAI_BASE_URL` and `OPENAI_API_KEY` speak."""

EVERY_OTHER = "*"
"""The key of `limits` for the providers that it does not name; each has these limits for itself."""

ADDRESS = re.compile(r"[^\s/@]+:\d{1,5}")
"""`host:port`, by which the server behind a `base_url` is known."""


def provider_of(model: str) -> str:
    """Return the provider of a model string: what stands before the colon, and `openai` for all of OpenAI's.

    Example:
        >>> provider_of("openai-chat:gpt-4.1"), provider_of("anthropic:claude-haiku-4-5")
        ('openai', 'anthropic')
    """
    return _provider(model.partition(":")[0])


def is_known_provider(name: str) -> bool:
    """Return whether pydantic-ai knows the provider, whether or not its package is installed."""
    if name in _listed_providers():
        return True
    from pydantic_ai.providers import infer_provider_class  # heavy, and it imports the provider's own package

    try:
        infer_provider_class(name)
    except ImportError:
        return True
    except ValueError:
        return False
    return True


def limits_of(provider: str, limits: Mapping[str, "ModelLimits"]) -> "ModelLimits | None":
    """Return what `limits` says of `provider`, as `provider_of` or an address names it; None if it limits nothing.

    Raises:
        ConfigurationError: If a name in `limits` can be no provider, or two are the same one.
    """
    by_provider: dict[str, ModelLimits] = {}
    for name, limit in limits.items():
        if not (name == EVERY_OTHER or ADDRESS.fullmatch(name) or is_known_provider(name)):
            raise ConfigurationError(
                f"`limits` names {name!r}, which is no provider.{nearest(name, _listed_providers())}",
                hint="Write what stands before the colon of a model, host:port of a base_url, or *.",
            )
        if _provider(name) in by_provider:
            raise ConfigurationError(f"`limits` names the provider {_provider(name)!r} twice.")
        by_provider[_provider(name)] = limit
    return by_provider.get(provider) or by_provider.get(EVERY_OTHER)


def _provider(name: str) -> str:
    return OPENAI if name in OPENAI_PROVIDERS else name


def _listed_providers() -> frozenset[str]:
    """Return most of the providers that pydantic-ai knows: it has no list of all."""
    from pydantic_ai.models import KnownModelName, OpenAIChatCompatibleProvider  # heavy

    models = (model.partition(":")[0] for model in get_args(KnownModelName.__value__) if ":" in model)
    return frozenset({*models, *get_args(OpenAIChatCompatibleProvider.__value__)})
