"""A pipeline as it is stored with its runs, and how today's code is bound to it again.

Stored are structure, goals and settings, the fingerprints of the output types, and where the pipeline
came from. Functions, types and tools are code: they are bound again by step name, from a pipeline that
today's code defines.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from tagent.budget import LIMITS
from tagent.config import TAgentConfig
from tagent.exceptions import nearest
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.stored.callables import Binding
from tagent.pipeline.stored.steps import (
    DefinitionMismatchError,
    bound_step,
    fingerprint,
    outlined_step,
    step_spec,
    stored_limits,
    stored_settings,
)

__all__ = ["DEFINITION_VERSION", "Definition", "DefinitionMismatchError", "Origin", "bind", "outline"]

DEFINITION_VERSION = 2
"""In version 1, limits among the pipeline's settings were of each step; since then they are of the run.

A definition without such limits means the same in both, and is still written as version 1.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a pipeline came from, so that the command line can load it again.

    Attributes:
        file: The Python file; empty when it was built in code.
        object_name: The object in it; empty for the file's only pipeline.
        tool_files: The files whose tools its agents may use besides, in order.
        schema_file: The file that says what the output of a mere goal must be; empty for text.
        config_file: The file with the settings below the pipeline's own that was named when the run began;
            empty for those of the folder and the environment.
        had_tools: Whether it had files with tools that are not known here, as those of an imported run.
    """

    file: str = ""
    object_name: str = ""
    tool_files: tuple[str, ...] = ()
    schema_file: str = ""
    config_file: str = ""
    had_tools: bool = False

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Origin":
        """Return the origin that `written` has stored."""
        return cls(
            stored["file"],
            stored["object_name"],
            tuple(stored.get("tool_files", ())),
            stored.get("schema_file", ""),
            stored.get("config_file", ""),
            stored.get("had_tools", False),
        )

    def written(self) -> dict[str, object]:
        """Return the origin as JSON values; without what it does not have, so that older ones stay as they are."""
        told: dict[str, object] = {"file": self.file, "object_name": self.object_name}
        if self.tool_files:
            told["tool_files"] = list(self.tool_files)
        if self.schema_file:
            told["schema_file"] = self.schema_file
        if self.config_file:
            told["config_file"] = self.config_file
        if self.had_tools:
            told["had_tools"] = True
        return told

    def portable(self) -> "Origin":
        """Return what another machine may know of it: no files, but whether tools are missing there."""
        return Origin(had_tools=self.had_tools or bool(self.tool_files))


@dataclass(frozen=True, slots=True)
class Definition:
    """A stored definition.

    Attributes:
        spec: The pipeline as JSON values.
        payload: The same as bytes.
        hash: The hash of the bytes.
    """

    spec: Mapping[str, Any]
    payload: bytes
    hash: str

    @classmethod
    def of(cls, pipeline: Pipeline, origin: Origin) -> "Definition":
        """Return what is stored of `pipeline`."""
        payload = to_json(_spec(pipeline, origin))
        return cls.read(payload)

    @classmethod
    def written(cls, spec: Mapping[str, Any]) -> "Definition":
        """Return the definition that `spec` is, JSON values in the form of a stored one."""
        return cls.read(to_json(spec))

    @classmethod
    def read(cls, payload: bytes) -> "Definition":
        """Return the definition that `payload` holds."""
        return cls(from_json(payload), payload, hashlib.sha256(payload).hexdigest())

    @property
    def origin(self) -> Origin:
        """Where the pipeline came from."""
        return Origin.read(self.spec["origin"])


def _spec(pipeline: Pipeline, origin: Origin) -> dict[str, object]:
    settings = stored_settings(pipeline.config)
    return {
        "version": 1 if settings.keys().isdisjoint(LIMITS) else DEFINITION_VERSION,
        **_shared_by_steps(pipeline, settings),
        "origin": origin.written(),
        "steps": _step_specs(pipeline),
        **_rarely_used(pipeline),
    }


def _inner_spec(pipeline: Pipeline) -> dict[str, object]:
    """Return a pipeline inside a step as JSON values; its version and origin are those of the whole."""
    return {
        **_shared_by_steps(pipeline, stored_settings(pipeline.config)),
        "steps": _step_specs(pipeline),
        **_rarely_used(pipeline),
    }


def _shared_by_steps(pipeline: Pipeline, settings: Mapping[str, object]) -> dict[str, object]:
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "global_constraints": list(pipeline.global_constraints),
        "shared_context": pipeline.shared_context,
        "final": pipeline.final,
        "inputs": fingerprint(pipeline.inputs),
        "config": settings,
        "memory": pipeline.memory,
        "spaces": list(pipeline.spaces),
    }


def _step_specs(pipeline: Pipeline) -> list[dict[str, object]]:
    names = {step.name for step in pipeline.steps}
    return [
        {
            **step_spec(step, names, pipeline.global_constraints),
            **({} if step.pipeline is None else {"pipeline": _inner_spec(step.pipeline)}),
        }
        for step in pipeline.steps
    ]


def _rarely_used(pipeline: Pipeline) -> dict[str, object]:
    """Return the members that few pipelines have; without them, older definitions stay as they are."""
    limits = stored_limits(pipeline.budget)
    return {
        **({} if pipeline.on_failure == "continue" else {"on_failure": pipeline.on_failure}),
        **({} if pipeline.on_budget == "fail" else {"on_budget": pipeline.on_budget}),
        **({"budget": limits} if limits else {}),
    }


def _with_limits_of_steps(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a stored definition of version 1 as today's would say the same, any other as it is."""
    limits = {name: limit for name, limit in spec["config"].items() if name in LIMITS}
    if spec["version"] > 1 or not limits:
        return spec
    steps = [{**step, "config": {**limits, **step["config"]}} for step in spec["steps"]]
    return {**spec, "config": {**spec["config"], **dict.fromkeys(limits)}, "steps": steps}


def bind(definition: Definition, code: Pipeline) -> Pipeline:
    """Return the stored pipeline with the functions, types, tools and models of today's `code`.

    Raises:
        DefinitionMismatchError: If a step is missing in the code, is a function in one and a goal in
            the other, or gives another type of output; the same for its branches, its merge, its compensation and
            its conditions, and for the steps of the pipelines inside.
    """
    return _bound(_with_limits_of_steps(definition.spec), code, within="")


def _bound(spec: Mapping[str, Any], code: Pipeline, *, within: str) -> Pipeline:
    """Return a stored pipeline with today's code; `within` is the path of the step around it."""
    name = spec["name"]
    known = {step.name: step for step in code.steps}
    if spec["inputs"] != fingerprint(code.inputs):
        raise DefinitionMismatchError(name, within, f"The input model of the pipeline {name!r} has changed.")
    pipeline = Pipeline(
        name,
        spec["description"],
        global_constraints=spec["global_constraints"],
        shared_context=spec["shared_context"],
        inputs=code.inputs,
        final=spec["final"],
        config=TAgentConfig.of(code.config).merged(TAgentConfig.of(spec["config"])),
        memory=spec.get("memory"),
        spaces=spec.get("spaces", ()),
        on_failure=spec.get("on_failure"),
        budget=spec.get("budget"),
        on_budget=spec.get("on_budget"),
        default_mode=code.default_mode,  # of steps that are added while it runs
        before_step=code.before_step,
        after_step=code.after_step,
    )
    for stored in spec["steps"]:
        path = f"{within}/{stored['name']}" if within else stored["name"]
        if stored["name"] not in known:
            message = f"The code defines no step {path!r} any more.{nearest(stored['name'], known)}"
            raise DefinitionMismatchError(name, path, message)
        pipeline.add_step(_bound_step(stored, known[stored["name"]], pipeline=name, path=path))
    return pipeline


def _bound_step(stored: Mapping[str, Any], code: PipelineStep, *, pipeline: str, path: str) -> PipelineStep:
    inner, today = stored.get("pipeline"), code.pipeline
    bound = None if inner is None or today is None else _bound(inner, today, within=path)
    return bound_step(stored, code, Binding(pipeline, code, path=path), bound)


def outline(definition: Definition) -> Pipeline:
    """Return the stored pipeline without any code, for looking at its runs; it cannot be run."""
    return _outlined(definition.spec)


def _outlined(spec: Mapping[str, Any]) -> Pipeline:
    steps = [
        outlined_step(stored, None if (inner := stored.get("pipeline")) is None else _outlined(inner))
        for stored in spec["steps"]
    ]
    return Pipeline(
        spec["name"], spec["description"], steps=steps, final=spec["final"], on_failure=spec.get("on_failure")
    )
