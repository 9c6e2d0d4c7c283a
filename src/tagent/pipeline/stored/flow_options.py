"""The options that say which way a run goes, as they are stored: routes, rounds, approvals, inner inputs.

Few steps have them, so each is stored only where it is used. The inner pipeline itself is stored by `definition`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from tagent.pipeline.approval import Approval, approval_of
from tagent.pipeline.models import CacheUse, PipelineStep
from tagent.pipeline.rules import routes_of
from tagent.pipeline.stored.callables import Binding, Stored, absent, function_name, outlined, stored_check

Inputs = Mapping[str, str] | Callable[..., object]
"""What an inner pipeline is given: input name -> path, or a function that returns all of it."""


def stored_flow(step: PipelineStep) -> dict[str, object]:
    """Return those of the options that `step` has, as JSON values; empty for most steps.

    Raises:
        ConditionError: If `when` or `until` cannot be read.
        ValueError: If its approval is none.

    Example:
        >>> stored_flow(PipelineStep(switch_on="a.kind", routes={"x": "b"}, approval=True, cache=timedelta(minutes=1)))[
        ...     "routes"
        ... ]
        {'x': ['b']}
    """
    told: dict[str, object] = {}
    if step.when is not None:
        told["when"] = stored_check(step.when)
    if (routes := routes_of(step)) is not None:
        told["routes"] = {route: list(targets) for route, targets in routes.items()}
    if step.until is not None:
        told["until"] = stored_check(step.until)
    if step.inputs is not None:
        told["inputs"] = _stored_inputs(step.inputs)
    if (approval := approval_of(step.approval)) is not None:
        told["approval"] = asdict(approval)
    if step.cache is not None:
        told["cache"] = _stored_cache(step.cache)
    return told


def _stored_inputs(inputs: Inputs) -> dict[str, object]:
    # Not the paths alone: an input may be called `function`.
    return {"function": function_name(inputs)} if callable(inputs) else {"paths": dict(inputs)}


def _stored_cache(cache: CacheUse) -> str | float:
    return cache.total_seconds() if isinstance(cache, timedelta) else cache


def outlined_flow(stored: Stored) -> dict[str, Any]:
    """Return the options that a stored step has as those of a `PipelineStep`, without any code."""
    told: dict[str, Any] = {name: outlined(stored[name]) for name in ("when", "until") if stored.get(name) is not None}
    if (inputs := stored.get("inputs")) is not None:
        told["inputs"] = inputs.get("paths", absent)
    return {**told, **_as_stored(stored)}


def bound_flow(stored: Stored, code: PipelineStep, binding: Binding) -> dict[str, Any]:
    """Return the options that a stored step has as those of a `PipelineStep`, with the functions of today.

    Raises:
        DefinitionMismatchError: If one was a function and is none today, or the other way round.
    """
    return {
        "when": binding.check(stored.get("when"), code.when, what="what it judges"),
        "until": binding.check(stored.get("until"), code.until, what="what it is repeated until"),
        "inputs": _bound_inputs(stored.get("inputs"), code.inputs, binding),
        **_as_stored(stored),
    }


def _as_stored(stored: Stored) -> dict[str, Any]:
    """Return the options of which nothing is code."""
    told: dict[str, Any] = {name: stored[name] for name in ("routes", "cache") if name in stored}
    if stored.get("approval") is not None:
        told["approval"] = Approval(**stored["approval"])
    return told


def _bound_inputs(stored: Stored, code: Inputs | None, binding: Binding) -> Inputs | None:
    if stored is None:
        return None
    if "paths" in stored:
        paths: Mapping[str, str] = stored["paths"]
        return paths
    if not callable(code):
        raise binding.mismatch("had a function for its inputs when the run was started, and has none today.")
    return code
