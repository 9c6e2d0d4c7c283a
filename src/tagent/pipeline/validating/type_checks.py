"""Fields of another type than they must be, before anything is read from them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from operator import attrgetter, is_not

from tagent.budget import Budget
from tagent.circuit import CircuitPolicy
from tagent.exceptions import nearest
from tagent.pipeline.awaited import Event
from tagent.pipeline.conditions import Condition
from tagent.pipeline.models import Dependency, DependencyType, Fallback, Pipeline, PipelineStep
from tagent.retries import RetryPolicy

_SEQUENCES: Mapping[str, tuple[type, ...]] = {
    "constraints": (str,),
    "depends_on": (str, Dependency),
    "read_data": (str,),
    "tools_filter": (str,),
    "tools": (object,),
}


_LONGEST = 80
"""Characters that are shown of what is wrong."""


def type_problems(step: PipelineStep) -> Iterator[str]:
    """Yield which fields of `step` are of another type than they must be."""
    name: object = step.name
    if not isinstance(name, str):
        yield f"Its name is {name!r}; it must be text."
    goal: object = step.goal
    if goal is not None and not isinstance(goal, str):
        advice = " Did you mean run=?" if callable(goal) else ""
        yield f"Its goal is of the type {type(goal).__name__}; it must be text.{advice}"
    retry: object = step.retry
    if not isinstance(retry, RetryPolicy):
        yield f"`retry` is {retry!r}; it must be a RetryPolicy. How often is said by max_retries."
    model: object = step.model
    if model is not None and not (isinstance(model, str) or hasattr(model, "ask")):
        yield f"`model` is {model!r}; it must be a string or a language model."
    for option in compress(_DEFAULTS, map(is_not, _options_of(step), _DEFAULTS.values())):
        yield from _option_problems(option, getattr(step, option))


def _option_problems(option: str, given: object) -> Iterator[str]:
    if option in _SEQUENCES:
        yield from _sequence_problems(option, given, _SEQUENCES[option])
        return
    is_right, said = _OPTIONS[option]
    if not is_right(given):
        advice = f" Write Fallback(output={_shown(given.step)})." if isinstance(given, Fallback) else ""
        yield f"`{option}` is {_shown(given)}; it must be {said}.{advice}"


def _sequence_problems(key: str, given: object, of: tuple[type, ...]) -> Iterator[str]:
    if isinstance(given, str):
        yield f"`{key}` is a single text. Write a list: [{given!r}]."
    elif not isinstance(given, Sequence) or not all(isinstance(item, of) for item in given):
        yield f"`{key}` must be a list of {' or '.join(kind.__name__ for kind in of)}."
    else:
        for item in given:
            if type(item) is Dependency:
                yield from _dependency_problems(item)


def _dependency_problems(dep: Dependency) -> Iterator[str]:
    named: object = dep.step
    path: object = dep.path
    kind: object = dep.type
    if not isinstance(named, str):
        yield f"A dependency is on {_shown(named)}; it must be the name of a step."
    if not isinstance(path, str):
        yield f"The `path` of its dependency on {_shown(named)} is {_shown(path)}; it must be text."
    if not isinstance(kind, DependencyType):
        kinds = ", ".join(each.name for each in DependencyType)
        told = f"The type of its dependency on {_shown(named)} is {_shown(kind)}; take one of DependencyType: {kinds}."
        values = [each.value for each in DependencyType]
        yield f"{told}{nearest(kind[:_LONGEST].lower(), values) if isinstance(kind, str) else ''}"
    waits: object = dep.wait_seconds
    if waits is not None and not _is_number(waits):
        yield f"The `wait_seconds` of its dependency on {_shown(named)} is {_shown(waits)}; it must be a number."
    on_skip: object = dep.on_skip
    if not isinstance(on_skip, str):
        yield f"The `on_skip` of its dependency on {_shown(named)} is {_shown(on_skip)}; it must be 'run' or 'skip'."
    if dep.check is not None and not _is_check(dep.check):
        yield f"The `check` of its dependency on {_shown(named)} is {_shown(dep.check)}; it must be a condition."


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _is_check(given: object) -> bool:
    return isinstance(given, str | Condition) or callable(given)


def _is_work(given: object) -> bool:
    return isinstance(given, str) or callable(given)


def _are_branches(given: object) -> bool:
    if isinstance(given, Mapping):
        return all(isinstance(name, str) and _is_work(work) for name, work in given.items())
    return isinstance(given, Sequence) and not isinstance(given, str) and all(map(_is_work, given))


def _are_inputs(given: object) -> bool:
    if not isinstance(given, Mapping):
        return callable(given)
    return all(isinstance(name, str) and isinstance(path, str) for name, path in given.items())


def _are_routes(given: object) -> bool:
    if not isinstance(given, Mapping):
        return False
    return all(isinstance(route, str) and _are_names(targets) for route, targets in given.items())


def _are_names(given: object) -> bool:
    return isinstance(given, str) or (isinstance(given, Sequence) and all(isinstance(name, str) for name in given))


def _is_fallback(given: object) -> bool:
    named: object = given.step if isinstance(given, Fallback) else given
    return isinstance(named, str)


def _is_budget(given: object) -> bool:
    return isinstance(given, Budget) or (isinstance(given, Mapping) and all(isinstance(name, str) for name in given))


def _is_a(*kinds: type) -> Callable[[object], bool]:
    return lambda given: isinstance(given, kinds)


_OPTIONS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "execution_mode": (_is_a(str), "one of ExecutionMode"),
    "max_concurrency": (_is_number, "a whole number from 1"),
    "min_success": (_is_number, "a count (int) from 0, or a share (float) up to 1.0"),
    "memory": (_is_a(str), "'run' or 'pipeline'"),
    "wait_for": (_is_a(str, Event), "a topic or an event(...)"),
    "enabled": (_is_a(bool, str, Condition), "True, False, or a condition of the inputs"),
    "condition": (_is_check, "a condition: text, field(...) and its like, or a function"),
    "branches": (_are_branches, "a list or a dict of goals and functions"),
    "for_each": (_is_a(str), "the path of a list, like 'search.items'"),
    "merge": (_is_work, "'list', 'dict', a function or a goal"),
    "optional": (_is_a(bool), "True or False"),
    "on_error": (_is_fallback, "the name of a step, or a Fallback(...)"),
    "compensate": (_is_work, "a function or a goal"),
    "pipeline": (_is_a(Pipeline), "a Pipeline"),
    "inputs": (_are_inputs, "a dict of paths, like {'topic': 'classify.topic'}, or a function"),
    "when": (_is_check, "a condition: text, field(...) and its like, or a function"),
    "switch_on": (_is_a(str), "the path of a value, like 'classify.kind'"),
    "routes": (_are_routes, "a dict of routes, each with the name of a step or a list of names"),
    "until": (_is_check, "a condition: text, field(...) and its like, or a function"),
    "max_times": (_is_number, "a whole number from 1"),
    "if_not_reached": (_is_a(str), "'fail' or 'keep'"),
    "circuit": (_is_a(CircuitPolicy), "a CircuitPolicy(...)"),
    "budget": (_is_budget, "a Budget(...), or a dict of its fields"),
}
"""What is right for the options that may be left out, and how that is said."""

_DEFAULTS: Mapping[str, object] = {name: getattr(PipelineStep(), name) for name in (*_SEQUENCES, *_OPTIONS)}
"""What they are when left out; compared by identity, since comparing conditions makes another one."""

_options_of = attrgetter(*_DEFAULTS)
"""Returns the options of a step, in this order."""


def _shown(given: object) -> str:
    return repr(given)[:_LONGEST]
