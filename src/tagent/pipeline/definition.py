"""A pipeline as it is stored with its runs, and how today's code is bound to it again.

Stored are structure, goals and settings, the fingerprints of the output types, and where the pipeline
came from. Functions, types and tools are code: they are bound again by step name, from a pipeline that
today's code defines.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from tagent.config import TAgentConfig
from tagent.exceptions import nearest
from tagent.pipeline import bindings
from tagent.pipeline.awaited import Event, event_of
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineStep
from tagent.pipeline.outputs import output_type
from tagent.retries import RetryPolicy
from tagent.task_agent.foreign import agent_name

DEFINITION_VERSION = 1


class DefinitionMismatchError(PipelineError):
    """Today's code does not fit the definition that a run was started with.

    Attributes:
        pipeline: The pipeline's name.
        step: The step that does not fit; empty when it is the pipeline as a whole.
    """

    code = "pipeline.definition_mismatch"

    def __init__(self, pipeline: str, step: str, message: str) -> None:
        self.pipeline = pipeline
        self.step = step
        super().__init__(message, hint="Resume with the code it was started with, or with definition='current'.")


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
    names = {step.name for step in pipeline.steps}
    return {
        "version": DEFINITION_VERSION,
        "name": pipeline.name,
        "description": pipeline.description,
        "global_constraints": list(pipeline.global_constraints),
        "shared_context": pipeline.shared_context,
        "final": pipeline.final,
        "inputs": _fingerprint(pipeline.inputs),
        "config": _settings(pipeline.config),
        "memory": pipeline.memory,
        "spaces": list(pipeline.spaces),
        "origin": origin.written(),
        "steps": [_step_spec(step, names, pipeline.global_constraints) for step in pipeline.steps],
    }


def _step_spec(step: PipelineStep, names: Collection[str], global_constraints: Collection[str]) -> dict[str, object]:
    needed = bindings.dependencies(step, names, global_constraints)
    return {
        "id": step.id,
        "name": step.name,
        "goal": step.goal,
        "function": None if step.run is None else getattr(step.run, "__qualname__", type(step.run).__qualname__),
        **({} if step.agent is None else {"agent": agent_name(step.agent)}),  # without, older ones stay as they are
        "wait_for": None if step.wait_for is None else _event(event_of(step.wait_for)),
        "constraints": list(step.constraints),
        "depends_on": [
            {"step": dep.step, "type": dep.type.value, "path": dep.path, "wait_seconds": dep.wait_seconds}
            for dep in needed
        ],
        "execution_mode": step.execution_mode.value,
        "timeout": step.timeout,
        "retry_count": step.retry_count,
        "max_retries": step.max_retries,
        "retry": {"base_seconds": step.retry.base_seconds, "ceiling_seconds": step.retry.ceiling_seconds},
        "tools_filter": None if step.tools_filter is None else list(step.tools_filter),
        "read_data": list(step.read_data),
        "model": step.model if isinstance(step.model, str) else None,
        "config": _settings(step.config),
        "memory": step.memory,
        "output": _fingerprint(output_type(step).declared),
    }


def _event(event: Event) -> dict[str, object]:
    return {"pattern": event.pattern, "where": dict(event.where), "from": event.from_}


def _awaited(stored: Mapping[str, Any]) -> Event | None:
    found = stored.get("wait_for")
    return None if found is None else Event(found["pattern"], found["where"], found["from"])


def _settings(config: TAgentConfig | Mapping[str, object] | None) -> dict[str, object]:
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


def _merged(config: TAgentConfig | Mapping[str, object] | None, stored: Mapping[str, object]) -> TAgentConfig | None:
    """Return the code's settings under the stored ones; most of a long pipeline's steps have neither."""
    return None if config is None and not stored else TAgentConfig.of(config).merged(TAgentConfig.of(stored))


def _fingerprint(declared: object) -> str | None:
    """Return a hash of a type's JSON schema; None for no type."""
    if declared is None:
        return None
    schema = TypeAdapter(cast("Any", declared)).json_schema()
    return hashlib.sha256(to_json(schema)).hexdigest()[:16]


def bind(definition: Definition, code: Pipeline) -> Pipeline:
    """Return the stored pipeline with the functions, types, tools and models of today's `code`.

    Raises:
        DefinitionMismatchError: If a step is missing in the code, is a function in one and a goal in
            the other, or gives another type of output.
    """
    spec = definition.spec
    name = spec["name"]
    known = {step.name: step for step in code.steps}
    if spec["inputs"] != _fingerprint(code.inputs):
        raise DefinitionMismatchError(name, "", f"The input model of the pipeline {name!r} has changed.")
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
    )
    for stored in spec["steps"]:
        if stored["name"] not in known:
            message = f"The code defines no step {stored['name']!r} any more.{nearest(stored['name'], known)}"
            raise DefinitionMismatchError(name, stored["name"], message)
        pipeline.add_step(_bind_step(stored, known[stored["name"]], pipeline=name))
    return pipeline


def outline(definition: Definition) -> Pipeline:
    """Return the stored pipeline without any code, for looking at its runs; it cannot be run."""
    spec = definition.spec
    steps = [
        PipelineStep(
            id=stored["id"],
            name=stored["name"],
            goal=None if stored.get("wait_for") else stored["goal"] or "",
            wait_for=_awaited(stored),
            depends_on=_dependencies(stored),
            execution_mode=ExecutionMode(stored["execution_mode"]),
            max_retries=stored["max_retries"],
        )
        for stored in spec["steps"]
    ]
    return Pipeline(spec["name"], spec["description"], steps=steps, final=spec["final"])


def _dependencies(stored: Mapping[str, Any]) -> list[Dependency]:
    return [
        Dependency(d["step"], DependencyType(d["type"]), path=d["path"], wait_seconds=d["wait_seconds"])
        for d in stored["depends_on"]
    ]


def _work(goal: object, wait_for: object, agent: object) -> str:
    if wait_for is not None:
        return "an event"
    if goal is None:
        return "a function"
    return "a goal" if agent is None else "a goal with an agent of its own"


def _bind_step(stored: Mapping[str, Any], code: PipelineStep, *, pipeline: str) -> PipelineStep:
    before = _work(stored["goal"], stored.get("wait_for"), stored.get("agent"))
    today = _work(code.goal, code.wait_for, code.agent)
    if before != today:
        message = f"The step {code.name!r} was {before} when the run was started, and is {today} today."
        raise DefinitionMismatchError(pipeline, code.name, message)
    if stored["output"] != _fingerprint(output_type(code).declared):
        message = f"The step {code.name!r} gave another type of output when the run was started."
        raise DefinitionMismatchError(pipeline, code.name, message)
    return PipelineStep(
        id=stored["id"],
        name=stored["name"],
        goal=stored["goal"],
        constraints=stored["constraints"],
        depends_on=_dependencies(stored),
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
        tools=code.tools,
    )
