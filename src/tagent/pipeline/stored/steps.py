"""A step as it is stored, and the step again: from what is stored alone, or with the code of today.

What few steps have is stored only where it is used, so that the definitions of older runs keep their hashes.
"""

import hashlib
from collections.abc import Collection, Hashable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_core import to_json

from tagent.budget import Budget
from tagent.circuit import CircuitPolicy
from tagent.config import TAgentConfig
from tagent.pipeline import bindings
from tagent.pipeline.awaited import Event, event_of
from tagent.pipeline.models import Dependency, ExecutionMode, Fallback, Pipeline, PipelineStep
from tagent.pipeline.outputs import output_type
from tagent.pipeline.stored.callables import (
    Binding,
    DefinitionMismatchError,
    Stored,
    dependency_of,
    function_name,
    outlined,
    stored_check,
    stored_dependency,
    stored_work,
)
from tagent.pipeline.stored.flow_options import bound_flow, outlined_flow, stored_flow
from tagent.retries import RetryPolicy
from tagent.task_agent.foreign import agent_name

__all__ = [
    "DefinitionMismatchError", "bound_step", "fingerprint", "outlined_dependency", "outlined_step", "step_spec",
    "stored_limits", "stored_settings",
]  # fmt: skip

_DEFAULTS = PipelineStep()
_AS_THEY_ARE = (
    "for_each", "max_concurrency", "min_success", "optional", "switch_on", "max_times", "if_not_reached",
)  # fmt: skip
"""The options that are plain values, stored where they differ from the default."""


def step_spec(step: PipelineStep, names: Collection[str], global_constraints: Collection[str]) -> dict[str, object]:
    """Return a step as JSON values, without the pipeline inside it.

    Args:
        step: The step.
        names: Those of all steps.
        global_constraints: Rules for every agent step.
    """
    needed = bindings.dependencies(step, names, global_constraints)
    return {
        "id": step.id,
        "name": step.name,
        "goal": step.goal,
        "function": None if step.run is None else function_name(step.run),
        **({} if step.agent is None else {"agent": agent_name(step.agent)}),
        "wait_for": None if step.wait_for is None else _event(event_of(step.wait_for)),
        "constraints": list(step.constraints),
        "depends_on": [stored_dependency(dep) for dep in needed],
        "execution_mode": step.execution_mode.value,
        "timeout": step.timeout,
        "retry_count": step.retry_count,
        "max_retries": step.max_retries,
        "retry": _retry(step.retry),
        "tools_filter": None if step.tools_filter is None else list(step.tools_filter),
        "read_data": list(step.read_data),
        "model": step.model if isinstance(step.model, str) else None,
        "config": stored_settings(step.config),
        "memory": step.memory,
        "output": fingerprint(output_type(step).declared),
        **_rarely_used(step),
    }


def _rarely_used(step: PipelineStep) -> dict[str, object]:
    """Return the members that few steps have."""
    told = {name: given for name in _AS_THEY_ARE if (given := getattr(step, name)) != getattr(_DEFAULTS, name)}
    if step.enabled is not True:
        told["enabled"] = False if isinstance(step.enabled, bool) else stored_check(step.enabled)
    if step.condition is not None:
        told["condition"] = stored_check(step.condition)
    if step.branches is not None:
        works = {name: stored_work(work) for name, work in bindings.branches_of(step).items()}
        told["branches"] = works if isinstance(step.branches, Mapping) else list(works.values())
    for name, work in (("merge", step.merge), ("compensate", step.compensate)):
        if work is not None:
            told[name] = stored_work(work)
    if step.item_schema is not None:
        told["item_schema"] = fingerprint(step.item_schema)
    if fallback := bindings.fallback_of(step):
        plain = output_type(step).dump(fallback.output, step=step.name) if not fallback.step else None
        told["on_error"] = {"step": fallback.step} if fallback.step else {"output": plain}
    if step.circuit is not None:
        told["circuit"] = asdict(step.circuit)
    if limits := stored_limits(step.budget):
        told["budget"] = limits
    return {**told, **stored_flow(step)}


def _retry(policy: RetryPolicy) -> dict[str, object]:
    told: dict[str, object] = {"base_seconds": policy.base_seconds, "ceiling_seconds": policy.ceiling_seconds}
    if not policy.jitter:
        told["jitter"] = False
    for name, kinds in (("only", policy.only), ("never", policy.never)):
        if kinds:
            told[name] = list(kinds)
    return told


def stored_limits(budget: Budget | Mapping[str, object] | None) -> dict[str, object]:
    """Return the limits of a budget by name; empty when nothing is limited.

    Raises:
        ConfigurationError: If it is none.
    """
    return {name: limit for name, limit in asdict(Budget.of(budget)).items() if limit is not None} if budget else {}


def stored_settings(config: TAgentConfig | Mapping[str, object] | None) -> dict[str, object]:
    """Return the settings that are plain data; keys and objects are never stored."""
    if config is None:
        return {}
    settings = TAgentConfig.of(config)
    kept = settings.model_fields_set - {"api_key", "limits_store", "tools"}
    values = {name: getattr(settings, name) for name in sorted(kept)}
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(setting: object) -> bool:
    """Return whether a setting is a word, a number or a list of words; a mapping may hold a header with a key."""
    if isinstance(setting, list | tuple):
        return all(isinstance(item, str) for item in setting)
    return isinstance(setting, str | int | float | None)


def fingerprint(declared: object) -> str | None:
    """Return a hash of a type's JSON schema; None for no type."""
    if declared is None:
        return None
    try:
        return _known_fingerprint(declared)
    except TypeError:  # it cannot be a key: its metadata is a list
        return _fingerprint(declared)


def _fingerprint(declared: object) -> str:
    schema = TypeAdapter(cast("Any", declared)).json_schema()
    return hashlib.sha256(to_json(schema)).hexdigest()[:16]


@lru_cache(maxsize=256)
def _known_fingerprint(declared: Hashable) -> str:
    return _fingerprint(declared)


def outlined_step(stored: Stored, inner: Pipeline | None = None) -> PipelineStep:
    """Return what a stored step says without any code: enough to fold the events of a run, and to show it.

    Args:
        stored: The step.
        inner: The outline of the pipeline inside it; None for none.

    Raises:
        ValueError: If its mode or a dependency is of no known kind.
    """
    branches: Stored = stored.get("branches")
    if isinstance(branches, dict):
        branches = {name: outlined(work) for name, work in branches.items()}
    elif branches is not None:
        branches = [outlined(work) for work in branches]
    return PipelineStep(
        id=stored["id"],
        name=stored["name"],
        goal=None if stored.get("wait_for") or _has_no_work(stored) else stored["goal"] or "",
        wait_for=_awaited(stored),
        pipeline=inner,
        constraints=stored["constraints"] if stored["execution_mode"] == ExecutionMode.CONDITIONAL else (),
        depends_on=[outlined_dependency(dep) for dep in stored["depends_on"]],
        execution_mode=ExecutionMode(stored["execution_mode"]),
        max_retries=stored["max_retries"],
        enabled=stored.get("enabled", True),
        condition=None if stored.get("condition") is None else outlined(stored["condition"]),
        branches=branches,
        merge=None if stored.get("merge") is None else _outlined_merge(stored["merge"]),
        on_error=_fallback(stored),
        compensate=None if stored.get("compensate") is None else outlined(stored["compensate"]),
        **outlined_flow(stored),
        **{name: stored[name] for name in _AS_THEY_ARE if name in stored},
    )


def outlined_dependency(stored: Stored) -> Dependency:
    """Return what a stored dependency says without any code.

    Raises:
        ValueError: If its type is of no known kind.
    """
    return dependency_of(stored, None if stored.get("check") is None else outlined(stored["check"]))


def _has_no_work(stored: Stored) -> bool:
    """Return whether a step has something in the place of a goal or a function: branches, a pipeline, a route."""
    if stored["goal"] is not None or stored["function"] is not None:
        return False
    has_other = any(stored.get(name) is not None for name in ("pipeline", "when", "switch_on"))
    return has_other or stored["execution_mode"] == ExecutionMode.PARALLEL_MERGE


def _outlined_merge(stored: Stored) -> Stored:
    """Return a merge that takes one argument, as it has to."""
    return stored if isinstance(stored, str) else list


def bound_step(stored: Stored, code: PipelineStep, binding: Binding, inner: Pipeline | None = None) -> PipelineStep:
    """Return a stored step with the functions, types, tools and models of today's `code`.

    Args:
        stored: The step.
        code: That of today.
        binding: Binds what of the step is code.
        inner: The pipeline inside it, bound already; None for none.

    Raises:
        DefinitionMismatchError: If the code is of another kind, or gives another type of output.
    """
    _require_same_kind(stored, code, binding)
    on_error = stored.get("on_error")
    fallback = _fallback(stored)
    if on_error is not None and "output" in on_error:
        fallback = Fallback(output=output_type(code).load(on_error["output"], step=code.name))
    return PipelineStep(
        id=stored["id"],
        name=stored["name"],
        goal=stored["goal"],
        constraints=stored["constraints"],
        depends_on=list(binding.dependencies(stored["depends_on"])),
        execution_mode=ExecutionMode(stored["execution_mode"]),
        timeout=stored["timeout"],
        retry_count=stored["retry_count"],
        max_retries=stored["max_retries"],
        retry=RetryPolicy(**stored["retry"]),
        tools_filter=stored["tools_filter"],
        read_data=stored["read_data"],
        model=stored["model"] or code.model,
        config=_merged(code.config, stored["config"]),
        memory=stored.get("memory"),
        output_schema=code.output_schema,
        run=code.run,
        agent=code.agent,
        wait_for=_awaited(stored),
        pipeline=inner,
        tools=code.tools,
        enabled=stored.get("enabled", True),
        condition=binding.check(stored.get("condition"), code.condition, what="its condition"),
        branches=binding.branches(stored.get("branches")),
        merge=binding.work(stored.get("merge"), code.merge, what="its merge"),
        item_schema=code.item_schema,
        on_error=fallback,
        compensate=binding.work(stored.get("compensate"), code.compensate, what="its compensation"),
        circuit=None if stored.get("circuit") is None else CircuitPolicy(**stored["circuit"]),
        budget=None if stored.get("budget") is None else Budget.of(stored["budget"]),
        **bound_flow(stored, code, binding),
        **{name: stored[name] for name in _AS_THEY_ARE if name in stored},
    )


def _require_same_kind(stored: Stored, code: PipelineStep, binding: Binding) -> None:
    before, today = _kind_of_stored(stored), _kind_of(code)
    if before != today:
        raise binding.mismatch(f"was {before} when the run was started, and is {today} today.")
    if stored["output"] != fingerprint(output_type(code).declared):
        raise binding.mismatch("gave another type of output when the run was started.")
    if stored.get("item_schema") != fingerprint(code.item_schema):
        raise binding.mismatch("had parts with another type of output when the run was started.")


def _kind_of_stored(stored: Stored) -> str:
    present = {name for name, given in stored.items() if given is not None}
    return _kind(present - {"function"} | ({"run"} if "function" in present else set()))


def _kind_of(code: PipelineStep) -> str:
    return _kind({name for name, _ in _KINDS if getattr(code, name) is not None})


_KINDS = (
    ("wait_for", "an event"),
    ("pipeline", "a pipeline"),
    ("when", "a condition to judge"),
    ("switch_on", "a choice of a route"),
    ("branches", "several branches"),
    ("run", "a function"),
    ("agent", "a goal with an agent of its own"),
    ("goal", "a goal"),
)
"""The options that say what a step does, and what it is then called; the first that is given counts."""


def _kind(given: Collection[str]) -> str:
    return next((told for name, told in _KINDS if name in given), "a merge of what it depends on")


def _fallback(stored: Stored) -> Fallback | None:
    on_error = stored.get("on_error")
    return None if on_error is None else Fallback(on_error.get("step", ""), output=on_error.get("output"))


def _event(event: Event) -> dict[str, object]:
    return {"pattern": event.pattern, "where": dict(event.where), "from": event.from_}


def _awaited(stored: Stored) -> Event | None:
    found = stored.get("wait_for")
    return None if found is None else Event(found["pattern"], found["where"], found["from"])


def _merged(config: TAgentConfig | Mapping[str, object] | None, stored: Mapping[str, object]) -> TAgentConfig | None:
    """Return the code's settings under the stored ones; most of a long pipeline's steps have neither."""
    return None if config is None and not stored else TAgentConfig.of(config).merged(TAgentConfig.of(stored))
