"""Given arguments -> the checked ones, or what is wrong with them, told without their values."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, ValidationError

from tagent.exceptions import nearest
from tagent.task_agent.tools.signatures import schema_of

_TELLS_THE_VALUE = {"union_tag_invalid": "Its tag is none of those that are expected"}
_ABOUT_NAMES = frozenset({"missing", "extra_forbidden", "unexpected_keyword_argument"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check.

    Attributes:
        values: The arguments as the model holds them; None when something is wrong.
        problems: What is wrong, one phrase each.
    """

    values: BaseModel | None
    problems: tuple[str, ...] = ()


def checked(
    parameters: type[BaseModel], given: Mapping[str, object], *, unresolved: Collection[str] = frozenset()
) -> Checked:
    """Return the arguments `given` checked against a model of them.

    Args:
        parameters: The model.
        given: Argument -> JSON value.
        unresolved: The arguments whose values are not known yet; only their names are checked.
    """
    known = _known_names(parameters)
    unknown = [] if known is None else [name for name in given if name not in known]
    problems = [_unknown(name, known or ()) for name in unknown]
    try:
        values = parameters.model_validate(dict(given))
    except ValidationError as error:
        return Checked(None, (*problems, *_told(error, ignored={*unresolved, *unknown}, is_partial=bool(unresolved))))
    except Exception as error:  # noqa: BLE001 - a validator of the user's broke on what a model wrote
        told = () if unresolved else (f"to check them raised {type(error).__name__}",)
        return Checked(None, (*problems, *told))
    return Checked(None if problems else values, tuple(problems))


def _unknown(name: str, known: Collection[str]) -> str:
    near = nearest(name, known).strip()
    return f"{name!r} is none of them ({near})" if near else f"{name!r} is none of them"


def _told(error: ValidationError, *, ignored: Collection[str], is_partial: bool) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        where = problem["loc"]
        if (where and where[0] in ignored) or (not where and is_partial):
            if len(where) == 1 and problem["type"] == "missing":  # a name, which counts
                yield f"{where[0]!r} is missing"
            continue
        if len(where) == 1 and problem["type"] in _ABOUT_NAMES:
            yield f"{where[0]!r} is missing" if problem["type"] == "missing" else f"{where[0]!r} is none of them"
            continue
        path = ".".join(map(str, where))
        message = _TELLS_THE_VALUE.get(problem["type"], problem["msg"]).rstrip(".")  # it may be a user's sentence
        yield f"{path}: {message}" if path else message


def _known_names(parameters: type[BaseModel]) -> set[str] | None:
    """Return the names that arguments may have; None if any will do."""
    if issubclass(parameters, RootModel):
        properties: Any = schema_of(parameters).get("properties", {})
        return set(properties)
    config = parameters.model_config
    if config.get("extra") == "allow":
        return None
    by_name = bool(config.get("populate_by_name") or config.get("validate_by_name"))
    names: set[str] = set()
    for name, info in parameters.model_fields.items():
        alias = info.validation_alias or info.alias
        for choice in alias.choices if isinstance(alias, AliasChoices) else (alias,):
            names.add(str(choice.path[0]) if isinstance(choice, AliasPath) else choice or name)
        if by_name:
            names.add(name)
    return names
