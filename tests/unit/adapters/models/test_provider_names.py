"""Whose limits a model has."""

import pytest

from tagent.adapters.models.provider_names import limits_of
from tagent.config import ModelLimits
from tagent.exceptions import ConfigurationError

FEW, MANY = ModelLimits(requests_per_minute=1), ModelLimits(requests_per_minute=1000)


@pytest.mark.parametrize(
    "name",
    ["*", "openai", "openai-chat", "anthropic", "google-cloud", "ollama", "openai-codex", "localhost:8000", "::1:80"],
)
def test_what_may_be_a_provider_is_taken(name: str) -> None:
    """Also one whose package is not installed here."""
    assert limits_of("another", {name: FEW}) == (FEW if name == "*" else None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("opnai", "'opnai', which is no provider. Did you mean 'openai'?"),
        ("anthropc", "Did you mean 'anthropic'?"),
        ("openai:gpt-4.1", "is no provider"),
        ("https://example.org/v1", "is no provider"),
        ("test", "is no provider"),
        ("", "is no provider"),
    ],
)
def test_what_can_be_no_provider_is_refused(name: str, told: str) -> None:
    """A limit that is written down and does not hold is worse than none."""
    with pytest.raises(ConfigurationError, match="host:port") as raised:
        limits_of("openai", {"*": MANY, name: FEW})
    assert told in raised.value.message


@pytest.mark.parametrize("name", ["openai", "openai-chat", "openai-responses"])
def test_openai_is_one_provider_however_it_is_asked(name: str) -> None:
    """It counts the requests of both of its interfaces together."""
    assert limits_of("openai", {"*": MANY, name: FEW}) == FEW
    with pytest.raises(ConfigurationError, match="'openai' twice"):
        limits_of("openai", {"openai": MANY, "openai-chat": FEW, "openai-responses": FEW})
