"""Definitions that nobody vouches for: what each member may be, and a pipeline without mistakes, or an error.

Reading one runs nothing, imports nothing and writes nothing. Whoever stores more of a pipeline says here what it may
be; until then a definition that has it is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field, TypeAdapter, ValidationError

from tagent.circuit import CircuitPolicy
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline.approval import ApprovalDefault, ApprovalOf
from tagent.pipeline.awaited import EventSource
from tagent.pipeline.exceptions import PipelineValidationError
from tagent.pipeline.models import IfNotReached, MemoryUse, OnBudget, OnFailure, Pipeline
from tagent.pipeline.nesting import MAX_DEPTH
from tagent.pipeline.stored.definition import DEFINITION_VERSION, Definition, Origin, outline
from tagent.pipeline.transfer.documents import (
    LONGEST_PROBLEM,
    Count,
    RunImportError,
    Seconds,
    Strict,
    require_name,
    told,
    written,
)
from tagent.pipeline.validation import MAX_BRANCHES, MAX_NAME_LENGTH, validate
from tagent.retries import RetryPolicy

_NEVER_IMPORTED = frozenset({"base_url", "store"})
"""Settings that say where keys and runs are sent. They are this machine's, like the pipeline's file."""

MAX_ROUNDS = 1000
MAX_ROUTES = 1000


class _FunctionSpec(Strict):
    """A function is code, so a name is all that is kept of it."""

    function: str


class _FunctionsSpec(Strict):
    functions: Annotated[list[str], Field(min_length=1, max_length=100)]


_Work = str | _FunctionSpec
_Condition = str | _FunctionsSpec
_Branches = (
    Annotated[list[_Work], Field(max_length=MAX_BRANCHES)] | Annotated[dict[str, _Work], Field(max_length=MAX_BRANCHES)]
)
_Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_FromOne = Annotated[int, Field(ge=1, le=2**53)]


class _DependencySpec(Strict):
    step: str
    type: str
    path: str
    wait_seconds: Seconds | None
    on_skip: Literal["run", "skip"] = "run"
    check: _Condition | None = None


class _EventSpec(Strict):
    pattern: str
    where: dict[str, Any]
    from_: Annotated[EventSource, Field(alias="from")]


class _RetrySpec(Strict):
    base_seconds: Seconds
    ceiling_seconds: Seconds
    jitter: bool = True
    only: Annotated[list[str], FailFast()] = Field(default_factory=list, max_length=1000)
    never: Annotated[list[str], FailFast()] = Field(default_factory=list, max_length=1000)


class _CircuitSpec(Strict):
    failures: _FromOne
    open_seconds: Seconds
    ceiling_seconds: Seconds


class _BudgetSpec(Strict):
    max_cost_usd: _Above | None = None
    max_tokens: _FromOne | None = None
    max_model_calls: _FromOne | None = None
    deadline_seconds: _Above | None = None


class _StandInSpec(Strict):
    step: Annotated[str, Field(min_length=1)]


class _OutputSpec(Strict):
    output: Any


class _ApprovalSpec(Strict):
    of: ApprovalOf
    question: str
    timeout: _Above | None
    default: ApprovalDefault


class _PathsSpec(Strict):
    paths: Annotated[dict[str, str], Field(max_length=MAX_BRANCHES)]


class _OriginSpec(Strict):
    file: str
    object_name: str
    tool_files: Annotated[list[str], FailFast()] = Field(default_factory=list)
    schema_file: str = ""
    config_file: str = ""
    had_tools: bool = False


_Texts = Annotated[list[str], FailFast()]
_Settings = dict[str, str | bool | int | float | None]


class _StepSpec(Strict):
    id: str
    name: str
    goal: str | None
    function: str | None
    agent: str | None = None
    wait_for: _EventSpec | None
    constraints: _Texts
    depends_on: Annotated[list[_DependencySpec], FailFast()]
    execution_mode: str
    timeout: Seconds | None
    retry_count: Count
    max_retries: Count
    retry: _RetrySpec
    tools_filter: list[str] | None
    read_data: _Texts
    model: str | None
    config: _Settings
    memory: MemoryUse | None
    output: str | None
    for_each: str | None = None
    max_concurrency: _FromOne = 16
    min_success: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    optional: bool = False
    enabled: bool | str = True
    condition: _Condition | None = None
    branches: _Branches | None = None
    merge: _Work | None = None
    compensate: _Work | None = None
    item_schema: str | None = None
    on_error: _StandInSpec | _OutputSpec | None = None
    circuit: _CircuitSpec | None = None
    budget: _BudgetSpec | None = None
    pipeline: "_InnerSpec | None" = None
    inputs: _PathsSpec | _FunctionSpec | None = None
    when: _Condition | None = None
    switch_on: str | None = None
    routes: (
        Annotated[dict[str, Annotated[list[str], Field(max_length=MAX_ROUTES)]], Field(max_length=MAX_ROUTES)] | None
    ) = None
    until: _Condition | None = None
    max_times: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] | None = None
    if_not_reached: IfNotReached = "fail"
    approval: _ApprovalSpec | None = None
    cache: Literal["run", "forever"] | _Above | None = None


class _CodeReference(Strict):
    """Where a function, a class or a tool is looked for; see `stored.importable`."""

    module: Annotated[str, Field(pattern=r"\A([^\W\d]\w*(\.[^\W\d]\w*)*)?\z", max_length=MAX_NAME_LENGTH)]
    name: Annotated[str, Field(pattern=r"\A[^\W\d]\w*\z", max_length=MAX_NAME_LENGTH)]


class _LiteralReference(Strict):
    literal: Annotated[list[str | bool | int | None], Field(min_length=1, max_length=MAX_BRANCHES)]


class _TypeReference(Strict):
    """A type that is made of others."""

    of: str
    with_: Annotated["list[_Type]", Field(alias="with", min_length=1, max_length=MAX_BRANCHES)]


_Type = str | _CodeReference | _LiteralReference | _TypeReference


class _CodeSpec(Strict):
    """What names the code of an added step; see `stored.added_steps`."""

    run: _CodeReference | None = None
    merge: _CodeReference | None = None
    compensate: _CodeReference | None = None
    condition: _CodeReference | None = None
    when: _CodeReference | None = None
    until: _CodeReference | None = None
    output: _Type | None = None
    item: _Type | None = None
    branches: Annotated[dict[str, _CodeReference], Field(max_length=MAX_BRANCHES)] | None = None
    checks: dict[Annotated[str, Field(pattern=r"\A[0-9]{1,4}\z")], _CodeReference] | None = None
    tools: Annotated[list[_CodeReference], Field(max_length=MAX_BRANCHES)] | None = None


class _AddedSpec(_StepSpec):
    """A step that was added while its run went on."""

    code: _CodeSpec | None = None


class _LinkSpec(Strict):
    """A dependency that was added while its run went on."""

    step: str
    on: _DependencySpec
    code: _CodeReference | None = None


class _InnerSpec(Strict):
    """A pipeline inside a step: what a pipeline has, apart from its version and its origin."""

    name: str
    description: str
    global_constraints: _Texts
    shared_context: dict[str, Any]
    final: str | None
    inputs: str | None
    config: _Settings
    memory: MemoryUse
    spaces: _Texts
    steps: Annotated[list[_StepSpec], FailFast()]
    on_failure: OnFailure = "continue"
    on_budget: OnBudget = "fail"
    budget: _BudgetSpec | None = None

    def with_all_inside(self, depth: int = 0) -> "Iterator[_InnerSpec]":
        """Yield this pipeline and those inside it.

        Raises:
            RunImportError: If one is too deep inside.
        """
        if depth > MAX_DEPTH:
            raise RunImportError(f"its definition has pipelines more than {MAX_DEPTH} deep inside each other.")
        yield self
        for step in self.steps:
            if step.pipeline is not None:
                yield from step.pipeline.with_all_inside(depth + 1)


class _DefinitionSpec(_InnerSpec):
    version: int
    origin: _OriginSpec


_DEFINITION: TypeAdapter[_DefinitionSpec] = TypeAdapter(_DefinitionSpec)
_ADDED: TypeAdapter[_AddedSpec] = TypeAdapter(_AddedSpec)
_LINK: TypeAdapter[_LinkSpec] = TypeAdapter(_LinkSpec)


def read_definition(values: Mapping[str, Any]) -> Definition:
    """Return a definition that can do no harm: checked, and without what belongs to the machine it comes from.

    That is its files, from which code would be imported, and the settings that say where keys
    and runs are sent.

    Raises:
        RunImportError: If a member is missing or wrong, the version is unknown, or the pipeline has mistakes.
    """
    if values.get("version") not in range(1, DEFINITION_VERSION + 1):
        raise RunImportError(f"its definition is of no version up to {DEFINITION_VERSION}.", hint="Upgrade tagent.")
    try:
        spec = _DEFINITION.validate_python(values)
    except ValidationError as error:
        raise RunImportError(f"its definition is not as it must be: {told(error)}") from None
    for inside in spec.with_all_inside():
        _require_sane(inside)
    definition = Definition.read(written(portable(values), what="its definition"))
    try:
        pipeline = outline(definition)
        forget_types(pipeline)
        mistake = first_mistake(pipeline)
    except (TAgentError, ValueError) as error:
        mistake = error.message if isinstance(error, TAgentError) else "a step's mode or dependency is of no known kind"
    if mistake:
        raise RunImportError(f"its definition is no pipeline: {mistake[:LONGEST_PROBLEM]}")
    return definition


def first_mistake(pipeline: Pipeline) -> str:
    """Return the first mistake in an outline whose types are forgotten; empty if there is none.

    Raises:
        TAgentError: If something of it cannot be read.
        ValueError: Likewise.
    """
    wrong = [problem for problem in validate(pipeline) if problem.severity == "error"]
    return PipelineValidationError(pipeline.name, wrong[:1]).message if wrong else ""


def read_added_step(values: Mapping[str, Any], *, seq: int) -> None:
    """Refuse a step that a run has added, if a definition could not have it or its code is named wrongly.

    Raises:
        RunImportError: If so; it names the place `seq` of the event.
    """
    try:
        step = _ADDED.validate_python(values)
    except ValidationError as error:
        raise RunImportError(f"a step that its event {seq} adds is not as it must be: {told(error)}") from None
    if step.pipeline is not None or step.agent is not None:
        raise RunImportError(f"its event {seq} adds a step that cannot be added to a run.")
    _require_sane_step(step)


def read_link(values: Mapping[str, Any], *, seq: int) -> None:
    """Refuse a dependency that a run has added, if a definition could not have it.

    Raises:
        RunImportError: If so; it names the place `seq` of the event.
    """
    try:
        _LINK.validate_python(values)
    except ValidationError as error:
        raise RunImportError(f"a dependency that its event {seq} adds is not as it must be: {told(error)}") from None


def forget_types(pipeline: Pipeline) -> None:
    """Have nobody say whether a path leads anywhere: an outline knows no types."""
    for step in pipeline.steps:
        step.output_schema = Any
        if step.pipeline is not None:
            forget_types(step.pipeline)


def portable(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition's values without what belongs to the machine it comes from."""
    return {**_portable_pipeline(spec), "origin": Origin.read(spec["origin"]).portable().written()}


def _portable_pipeline(spec: Mapping[str, Any]) -> dict[str, Any]:
    steps = [portable_step(step) for step in spec["steps"]]
    return {**spec, "config": _portable_settings(spec["config"]), "steps": steps}


def portable_step(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored step's values without what belongs to the machine it comes from."""
    kept = {**step, "config": _portable_settings(step["config"])}
    return kept if step.get("pipeline") is None else {**kept, "pipeline": _portable_pipeline(step["pipeline"])}


def _portable_settings(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in _NEVER_IMPORTED}


def _require_sane(spec: _InnerSpec) -> None:
    require_name(spec.name, what="its pipeline")
    names = {step.name for step in spec.steps}
    for step in spec.steps:
        _require_sane_step(step)
        if unknown := next((dep.step for dep in step.depends_on if dep.step not in names), None):
            raise RunImportError(f"its step {step.name!r} depends on the unknown step {unknown[:MAX_NAME_LENGTH]!r}.")
    _require_settings(spec.config)


def _require_sane_step(step: _StepSpec) -> None:
    require_name(step.name, what="a step")
    _require_policies(step)
    _require_settings(step.config)


def _require_policies(step: _StepSpec) -> None:
    try:
        RetryPolicy(**step.retry.model_dump())
        if step.circuit is not None:
            CircuitPolicy(**step.circuit.model_dump())
    except ValueError as error:
        problem = f"its step {step.name!r} cannot be tried again so: {error}"
        raise RunImportError(problem[:LONGEST_PROBLEM]) from None


def _require_settings(settings: Mapping[str, object]) -> None:
    if odd := settings.keys() - (TAgentConfig.model_fields.keys() - {"api_key", "tools"}):
        raise RunImportError(f"its definition has the setting {min(odd)[:MAX_NAME_LENGTH]!r}, which is never stored.")
    try:
        TAgentConfig.of(settings)
    except TAgentError as error:
        raise RunImportError(f"its definition has a wrong setting: {error.message[:LONGEST_PROBLEM]}") from None
