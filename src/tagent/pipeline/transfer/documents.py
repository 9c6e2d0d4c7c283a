"""JSON that nobody vouches for: read within limits, without a trap, and the parts of a run as they must be.

Reading runs nothing, imports nothing and writes nothing. Whoever stores more of a pipeline, of a run or of
an event says here what it may be; until then a document that has it is refused.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from tagent.circuit import CircuitPolicy
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline.awaited import EventSource
from tagent.pipeline.exceptions import PipelineError, PipelineValidationError
from tagent.pipeline.models import MemoryUse, OnBudget, OnFailure
from tagent.pipeline.stored.definition import DEFINITION_VERSION, Definition, Origin, outline
from tagent.pipeline.validation import MAX_BRANCHES, MAX_NAME_LENGTH, validate
from tagent.retries import RetryPolicy

FORMAT = "tagent.run"
VERSION = 1

LARGEST_DOCUMENT = 64 * 1024 * 1024
"""Bytes of a document that are read unless more are asked for."""

MAX_VALUES = 2_000_000
"""Values of a document: one takes up to 70 bytes of memory, however short it is written."""

LATEST = 253_402_300_799.0
"""The last second of the year 9999: later ones cannot be written as a date."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string, or one that never ends: possessive, so that no text makes it look twice at a place."""

_NEVER_IMPORTED = frozenset({"base_url", "store"})
"""Settings that say where keys and runs are sent. They are this machine's, like the pipeline's file."""

_LONGEST_PROBLEM = 300
_MOST_PROBLEMS = 1000


class RunImportError(PipelineError):
    """A file holds no run that can be imported. Nothing of it was written.

    Attributes:
        problem: What is wrong with it.
    """

    code = "run.import"

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        super().__init__(f"This is no run that can be imported: {problem} Nothing was written.", hint=hint)


Moment = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]
RunId = Annotated[str, Field(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\z")]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RunFacts(_Strict):
    """What lists know of a run.

    Attributes:
        id: Its id.
        pipeline: The name of its pipeline.
        status: Where it stood. What it is in the store is worked out from its events.
        created_at: When it was created, in seconds since 1970-01-01 UTC.
        updated_at: When it last changed.
        finished_at: When it came to its end; None while it had not.
        labels: Names and values to find it by.
        cost_usd: The sum of the known prices.
        parent: The run that it was forked from; empty for none.
        forked_seq: The place of the parent's last record that it shares.
    """

    id: RunId
    pipeline: str
    status: str
    created_at: Moment
    updated_at: Moment
    finished_at: Moment | None
    labels: dict[str, str]
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    parent: RunId | Annotated[str, Field(max_length=0)]
    forked_seq: Count


class EventFacts(_Strict):
    """One record of the journal, its payload as JSON values."""

    seq: Count
    kind: str
    at: Moment
    payload: dict[str, Any]


class Document(_Strict):
    """The members of a document besides its format and version."""

    run: RunFacts
    definition: dict[str, Any]
    events: Annotated[list[EventFacts], FailFast()]
    blobs: dict[str, Any]


class _FunctionSpec(_Strict):
    """A function is code, so a name is all that is kept of it."""

    function: str


class _FunctionsSpec(_Strict):
    functions: Annotated[list[str], Field(min_length=1, max_length=100)]


_Work = str | _FunctionSpec
_Condition = str | _FunctionsSpec
_Branches = (
    Annotated[list[_Work], Field(max_length=MAX_BRANCHES)] | Annotated[dict[str, _Work], Field(max_length=MAX_BRANCHES)]
)
_Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_FromOne = Annotated[int, Field(ge=1, le=2**53)]


class _DependencySpec(_Strict):
    step: str
    type: str
    path: str
    wait_seconds: Seconds | None
    on_skip: Literal["run", "skip"] = "run"
    check: _Condition | None = None


class _EventSpec(_Strict):
    pattern: str
    where: dict[str, Any]
    from_: Annotated[EventSource, Field(alias="from")]


class _RetrySpec(_Strict):
    base_seconds: Seconds
    ceiling_seconds: Seconds
    jitter: bool = True
    only: Annotated[list[str], FailFast(), Field(max_length=1000)] = []
    never: Annotated[list[str], FailFast(), Field(max_length=1000)] = []


class _CircuitSpec(_Strict):
    failures: _FromOne
    open_seconds: Seconds
    ceiling_seconds: Seconds


class _BudgetSpec(_Strict):
    max_cost_usd: _Above | None = None
    max_tokens: _FromOne | None = None
    max_model_calls: _FromOne | None = None
    deadline_seconds: _Above | None = None


class _StandInSpec(_Strict):
    step: Annotated[str, Field(min_length=1)]


class _OutputSpec(_Strict):
    output: Any


class _OriginSpec(_Strict):
    file: str
    object_name: str
    tool_files: Annotated[list[str], FailFast()] = []
    schema_file: str = ""
    config_file: str = ""
    had_tools: bool = False


_Texts = Annotated[list[str], FailFast()]
_Settings = dict[str, str | bool | int | float | None]


class _StepSpec(_Strict):
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


class _DefinitionSpec(_Strict):
    version: int
    name: str
    description: str
    global_constraints: _Texts
    shared_context: dict[str, Any]
    final: str | None
    inputs: str | None
    config: _Settings
    memory: MemoryUse
    spaces: _Texts
    origin: _OriginSpec
    steps: Annotated[list[_StepSpec], FailFast()]
    on_failure: OnFailure = "continue"
    on_budget: OnBudget = "fail"
    budget: _BudgetSpec | None = None


_DEFINITION: TypeAdapter[_DefinitionSpec] = TypeAdapter(_DefinitionSpec)


def read_document(payload: bytes, *, largest: int = LARGEST_DOCUMENT) -> Document:
    """Return the document that `payload` holds. Its members have the right types; what they say is not checked yet.

    Raises:
        RunImportError: If it is too large, not JSON, of another format or a newer version, or misses a member.
    """
    if len(payload) > largest:
        raise RunImportError(
            f"it is larger than {largest / 1024 / 1024:g} MB.", hint="Allow more if you know where it comes from."
        )
    values = read_json(payload)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise RunImportError(f"its format is not {FORMAT!r}.", hint="Use what `tagent runs export` wrote.")
    version = values.get("version")
    if type(version) is not int or version < 1:
        raise RunImportError("its version is no number from 1.")
    if version > VERSION:
        raise RunImportError(f"it is of version {version}; this tagent reads up to {VERSION}.", hint="Upgrade tagent.")
    members = {name: value for name, value in values.items() if name not in {"format", "version"}}
    try:
        return Document.model_validate(members)
    except ValidationError as error:
        raise RunImportError(_told(error)) from None


def read_json(payload: bytes) -> object:
    """Return the JSON values that `payload` holds, as Python's `json` reads them, but no trap.

    Raises:
        RunImportError: If it is no UTF-8 or no JSON, has too many values, is nested too deeply, names a member
            of an object twice, or holds a number that is too large.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise RunImportError(f"it is no UTF-8 text (byte {error.start}).") from None
    if sum(map(text.count, "[{,")) > MAX_VALUES and values_in(text) > MAX_VALUES:
        raise RunImportError(f"it has more than {MAX_VALUES:,} values.")
    try:
        return json.loads(text, object_pairs_hook=_members, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise RunImportError(f"it is no JSON ({error.msg}, line {error.lineno}).") from None
    except RecursionError:
        raise RunImportError("it is nested too deeply.") from None
    except ValueError as error:  # ours, or Python's limit on the digits of a number
        raise RunImportError(str(error) if isinstance(error, _TrapError) else "it holds a number too large.") from None


def values_in(text: str) -> int:
    """Return about how many values a JSON text has, without reading it: its brackets and commas outside of strings.

    Example:
        >>> values_in('{"a, [b]": [1, 2]}')
        3
    """
    return sum(map(_STRING.sub("", text).count, "[{,"))


class _TrapError(ValueError):
    """JSON that two readers would understand differently, or none."""


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _TrapError("an object names a member twice.")
    return members


def _finite(written: str) -> float:
    number = float(written)
    if math.isinf(number):
        raise _TrapError("it holds a number too large.")
    return number


def written(values: object, *, what: str) -> bytes:
    """Return JSON values as tagent writes them.

    Raises:
        RunImportError: If they are nested too deeply, or a text is no valid Unicode.
    """
    try:
        return to_json(values)
    except ValueError:
        raise RunImportError(f"{what} is nested too deeply, or holds a text that is no valid Unicode.") from None


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
        raise RunImportError(f"its definition is not as it must be: {_told(error)}") from None
    require_name(spec.name, what="its pipeline")
    _require_known_steps(spec)
    for stored in spec.steps:
        _require_policies(stored)
    for settings in (spec.config, *(step.config for step in spec.steps)):
        _require_settings(settings)
    definition = Definition.read(written(portable(values), what="its definition"))
    try:
        pipeline = outline(definition)
        for step in pipeline.steps:
            step.output_schema = Any  # an outline knows no types, so nobody can say whether a path leads anywhere
        wrong = [problem for problem in validate(pipeline) if problem.severity == "error"]
        if wrong:
            raise PipelineValidationError(spec.name, wrong[:1])
    except (TAgentError, ValueError) as error:
        told = error.message if isinstance(error, TAgentError) else "a step's mode or dependency is of no known kind"
        raise RunImportError(f"its definition is no pipeline: {told[:_LONGEST_PROBLEM]}") from None
    return definition


def portable(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition's values without what belongs to the machine it comes from."""
    steps = [{**step, "config": _portable_settings(step["config"])} for step in spec["steps"]]
    config = _portable_settings(spec["config"])
    return {**spec, "config": config, "origin": Origin.read(spec["origin"]).portable().written(), "steps": steps}


def _portable_settings(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in _NEVER_IMPORTED}


def _require_known_steps(spec: _DefinitionSpec) -> None:
    names = {step.name for step in spec.steps}
    for step in spec.steps:
        require_name(step.name, what="a step")
        if unknown := next((dep.step for dep in step.depends_on if dep.step not in names), None):
            raise RunImportError(f"its step {step.name!r} depends on the unknown step {unknown[:MAX_NAME_LENGTH]!r}.")


def _require_policies(step: _StepSpec) -> None:
    try:
        RetryPolicy(**step.retry.model_dump())
        if step.circuit is not None:
            CircuitPolicy(**step.circuit.model_dump())
    except ValueError as error:
        told = f"its step {step.name!r} cannot be tried again so: {error}"
        raise RunImportError(told[:_LONGEST_PROBLEM]) from None


def _require_settings(settings: Mapping[str, object]) -> None:
    if odd := settings.keys() - (TAgentConfig.model_fields.keys() - {"api_key", "tools"}):
        raise RunImportError(f"its definition has the setting {min(odd)[:MAX_NAME_LENGTH]!r}, which is never stored.")
    try:
        TAgentConfig.of(settings)
    except TAgentError as error:
        raise RunImportError(f"its definition has a wrong setting: {error.message[:_LONGEST_PROBLEM]}") from None


def require_name(name: str, *, what: str) -> None:
    """Refuse a name that is empty, long, or would steer a terminal.

    Raises:
        RunImportError: If it is one.
    """
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise RunImportError(f"the name of {what} is empty, longer than {MAX_NAME_LENGTH}, or has control characters.")


def _told(error: ValidationError) -> str:
    """Return the first problem that Pydantic found, without the value."""
    if error.error_count() > _MOST_PROBLEMS:  # to list a million of them takes a gigabyte
        return f"it has {error.error_count()} mistakes."
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where[:MAX_NAME_LENGTH] or 'it'}: {problem['msg'][:_LONGEST_PROBLEM]}."
