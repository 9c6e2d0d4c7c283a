"""What a fork changes: inputs, the model, and of single steps the goal, the model or the output."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tagent.exceptions import nearest
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.stored.definition import Definition

_PARTS = ("inputs", "model", "steps")
_STEP_PARTS = ("goal", "model", "output")


class ForkError(PipelineError):
    """A run cannot be forked there, or not with these edits."""

    code = "run.fork"


@dataclass(frozen=True, slots=True)
class Edits:
    """Checked edits.

    Attributes:
        inputs: Input name -> its new value.
        model: The model of the steps that run again; None leaves it.
        goals: Step name -> its new goal.
        models: Step name -> its new model.
        outputs: Step name -> the output it is held to have given.
    """

    inputs: Mapping[str, object] = field(default_factory=dict)
    model: str | None = None
    goals: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, overrides: Mapping[str, object], definition: Definition, *, added: Collection[str] = ()) -> Self:
        """Return the edits that `overrides` names, as in
        `{"inputs": {"topic": "tea"}, "model": "...", "steps": {"write": {"goal": "...", "output": {...}}}}`.

        Args:
            overrides: The edits.
            definition: What counts of the pipeline.
            added: All steps of the run, also those that were added while it went on.

        Raises:
            ForkError: If a part or a step is unknown, a goal is given to a function, or a text is none.
        """  # noqa: D205 - the form of the overrides belongs to the first sentence
        _check_names(overrides, _PARTS, what="Overrides")
        steps = _mapping(overrides, "steps")
        known = {step["name"]: step for step in definition.spec["steps"]}
        goals, models, outputs = dict[str, str](), dict[str, str](), dict[str, object]()
        for name in steps:
            if name not in known:
                if name in added:
                    message = f"The step {name!r} was added while the run went on, so it cannot be edited."
                    raise ForkError(message, hint="Fork from the step that has added it.")
                raise ForkError(f"The run has no step {name!r}.{nearest(name, known)}")
            parts = _mapping(steps, name)
            _check_names(parts, _STEP_PARTS, what=f"The edits of the step {name!r}")
            if "output" in parts:
                outputs[name] = parts["output"]
            if "goal" in parts:
                if known[name]["goal"] is None:
                    is_function = known[name]["function"] is not None
                    what = "is a function and" if is_function else "works on nothing by itself and"
                    what = "runs a pipeline of its own and" if "pipeline" in known[name] else what
                    raise ForkError(f"The step {name!r} {what} has no goal.")
                goals[name] = _text(parts["goal"], what=f"The goal of the step {name!r}")
            if "model" in parts:
                models[name] = _text(parts["model"], what=f"The model of the step {name!r}")
        model = overrides.get("model")
        return cls(
            _mapping(overrides, "inputs"),
            None if model is None else _text(model, what="The model"),
            goals,
            models,
            outputs,
        )

    @property
    def again(self) -> set[str]:
        """The steps that have to run again, whatever follows from them."""
        return {*self.goals, *self.models} - self.outputs.keys()

    def applied_to(self, definition: Definition) -> Definition:
        """Return the definition with the new goals and models."""
        if not (self.goals or self.models or self.model):
            return definition
        spec: dict[str, Any] = {**definition.spec, "config": dict(definition.spec["config"])}
        if self.model:
            spec["config"]["model"] = self.model
        spec["steps"] = [
            {
                **step,
                "goal": self.goals.get(step["name"], step["goal"]),
                "model": self.models.get(step["name"], step["model"]),
            }
            for step in definition.spec["steps"]
        ]
        return Definition.written(spec)


def _check_names(values: Mapping[str, object], known: tuple[str, ...], *, what: str) -> None:
    for name in values:
        if name not in known:
            raise ForkError(
                f"{what}: {name!r} cannot be edited.{nearest(name, known)}", hint=f"Known: {', '.join(known)}."
            )


def _mapping(values: Mapping[str, object], name: str) -> Mapping[str, Any]:
    found = values.get(name) or {}
    if not isinstance(found, Mapping):
        raise ForkError(f"The edits of {name!r} must map names to what is new.")
    return found


def _text(value: object, *, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ForkError(f"{what} must be a text.")
    return value
