"""The pipeline as a plan would have it: which steps it adds, what it changes of others, and what of that cannot be."""

from collections.abc import Iterable
from dataclasses import replace

from tagent.exceptions import DataPathError, nearest
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import Dependency, Pipeline, PipelineStep
from tagent.pipeline.plan import Plan
from tagent.pipeline.rules import routes_of
from tagent.pipeline.stored.changed import with_own_steps
from tagent.pipeline.validating.type_checks import type_problems
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH


class Draft:
    """A pipeline as it would be after a plan.

    Args:
        pipeline: The pipeline as it is.
        plan: What is to change.

    Attributes:
        pipeline: It as it would be.
        added: The new steps, all names and ids given.
        linked: New dependencies of other steps: (who depends, on what); also those of steps that read a new step.
        unlinked: Those that other steps have no more: (who depended, on which step).
        enabled: Of other steps, whether the run has them.
        problems: What of it cannot be, as far as the plan alone says so.
    """

    def __init__(self, pipeline: Pipeline, plan: Plan) -> None:
        self.pipeline = with_own_steps(pipeline)
        self.added: list[PipelineStep] = []
        self.linked: list[tuple[str, Dependency]] = []
        self.unlinked: list[tuple[str, str]] = []
        self.enabled: dict[str, bool] = {}
        self.problems: list[Problem] = []
        self._before = pipeline
        self._places = {step.name: place for place, step in enumerate(pipeline.steps)}
        self._new: dict[str, PipelineStep] = {}
        self._add(plan.added)
        self._names = self._places.keys() | self._new.keys()
        self._change(plan)
        self._link_readers()

    @property
    def touched(self) -> tuple[str, ...]:
        """The steps that are there already and would change, each once: those that new steps choose or need, too."""
        named = [*(who for who, _ in self.linked), *(who for who, _ in self.unlinked), *self.enabled]
        for step in self.added:
            fallback = bindings.fallback_of(step)
            named += [] if fallback is None else [fallback.step]
            named += [target for targets in (routes_of(step) or {}).values() for target in targets]
        return tuple(dict.fromkeys(name for name in named if name in self._places))

    def _add(self, steps: Iterable[PipelineStep]) -> None:
        for given in steps:
            step = self.pipeline.add_step(replace(given)).steps.pop()
            if wrong := list(type_problems(step)):  # nothing else can be asked of such a step
                self.problems += [Problem("bad_type", told, str(step.name)[:MAX_NAME_LENGTH]) for told in wrong]
            elif step.name in self._places or step.name in self._new:
                self.problems.append(Problem("duplicate_name", "There is a step of this name already.", step.name))
            else:
                self.pipeline.steps.append(step)
                self.added.append(step)
                self._new[step.name] = step

    def _change(self, plan: Plan) -> None:
        for name, is_enabled in plan.enabled.items():
            if self._is_known(name):
                if name in self._new:
                    self._new[name].enabled = is_enabled
                else:
                    self.enabled[name] = is_enabled
                    self._replace(name, replace(self._step(name), enabled=is_enabled))
        for name, on in plan.unlinked:
            if self._is_known(name):
                self._unlink(name, on)
        for name, dependency in plan.linked:
            if self._is_known(name) and self._is_known(dependency.step, of=name):
                self._link(name, dependency)

    def _is_known(self, name: str, *, of: str = "") -> bool:
        if name in self._names:
            return True
        told = f"It is to depend on the unknown step {name!r}." if of else f"There is no step {name!r}."
        self.problems.append(Problem("unknown_step", f"{told}{nearest(name, self._names)}", of))
        return False

    def _step(self, name: str) -> PipelineStep:
        return self._new[name] if name in self._new else self.pipeline.steps[self._places[name]]

    def _replace(self, name: str, step: PipelineStep) -> None:
        """Have the pipeline another step of this name; that of the pipeline as it is stays as it is."""
        if name in self._new:
            self._new[name].depends_on = step.depends_on
        else:
            self.pipeline.steps[self._places[name]] = step

    def _needed(self, step: PipelineStep) -> tuple[Dependency, ...]:
        names = self._places if step.name in self._places else self._names
        return bindings.dependencies(step, names, self._before.global_constraints)

    def _link(self, name: str, dependency: Dependency) -> None:
        step = self._step(name)
        self._replace(name, replace(step, depends_on=[*self._needed(step), dependency]))
        if name not in self._new:
            self.linked.append((name, dependency))

    def _unlink(self, name: str, on: str) -> None:
        step = self._step(name)
        needed = self._needed(step)
        left = replace(step, depends_on=[dep for dep in needed if dep.step != on])
        if len(left.depends_on) == len(needed):
            self.problems.append(Problem("no_dependency", f"It does not depend on {on!r}.", name))
        elif any(dep.step == on for dep in self._needed(left)):
            told = f"It reads the output of {on!r}, so it cannot but depend on it."
            self.problems.append(Problem("needed_dependency", told, name))
        else:
            self._replace(name, left)
            if name not in self._new:
                self.unlinked.append((name, on))

    def _link_readers(self) -> None:
        """Have the steps depend on a new one that read a step of its name, and until now read nothing by it."""
        if not self._new:
            return
        rules = self._before.global_constraints
        for place, before in enumerate(self._before.steps):
            step = self.pipeline.steps[place]
            try:
                if self._new.keys().isdisjoint(bindings.names_read(before, rules)):
                    continue
                read = bindings.dependencies(before, self._new, rules)
            except DataPathError:
                continue  # validation names the malformed path
            linked = {dep.step for dep in step.depends_on if isinstance(dep, Dependency)}
            implied = [dep for dep in read if dep.step in self._new and dep.step not in linked]
            needed = self._needed(step)
            if implied:
                self._replace(step.name, replace(step, depends_on=[*needed, *implied]))
                self.linked += [(step.name, dep) for dep in implied]
