"""What the agent of a step is told: its goal and rules with the placeholders filled, and data of the run."""

from collections.abc import Mapping

from tagent.config import TAgentConfig
from tagent.effects import EffectBuffer
from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.placeholders import Absent, fill, found_at, placeholders
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.tools.memory import fitting
from tagent.tokens import CHARACTERS_PER_TOKEN
from tagent.values import value

NO_OUTPUT = "no output: this step was left out"
"""What an agent is told in the place of an output that there is not."""


@value
class Briefing:
    """What one attempt at a step is told."""

    goal: str
    constraints: tuple[str, ...]
    context: EnhancedContextManager

    def told(self, step: PipelineStep) -> object:
        """Return all of it as JSON values.

        The place of an item counts only where a text or `read_data` names it: the same item is the same elsewhere.
        """
        facts = dict(self.context.facts)
        if step.for_each is not None and not step.read_data:
            facts.pop("index", None)
        return [self.goal, self.constraints, self.context.goal, facts]


class Briefer:
    """Tells the agent of a step what it is to do.

    Args:
        step: The step, which has a goal.
        pipeline: Its pipeline, whose rules hold for it too.
        reader: The state of the run.
        config: Says how much data a prompt may carry.
        scope: Which piece of the step's work it is.
    """

    def __init__(
        self,
        step: PipelineStep,
        pipeline: Pipeline,
        reader: RunReader,
        config: TAgentConfig,
        *,
        scope: Scope = WHOLE,
    ) -> None:
        self._step = step
        self._description = pipeline.description
        self._rules = (*pipeline.global_constraints, *step.constraints)
        self._reader = reader
        self._scope = scope
        self._context_tokens = config.context_tokens

    async def brief(self, attempt: Attempt) -> Briefing:
        """Return what this attempt is told.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
        """
        step = self._step
        # A list is copied for none of its items, unless a text names more of it: that would be quadratic.
        texts = (step.goal or "", *self._rules)
        named = {path.root for text in texts for path in placeholders(text)}
        named |= {DataPath.parse(written).root for written in step.read_data or ()}
        readable, items_of = self._reader.readable(step.name, self._scope.part), self._items_of()
        wanted = {name for name in readable if name != items_of or name in named}
        outputs = self._reader.plain_outputs_before(step.name, self._scope.part, only=wanted)
        left_out = dict.fromkeys(self._reader.left_out_before(step.name), NO_OUTPUT)
        known = {**self._reader.plain_inputs(), **left_out, **outputs, **self._scope.given}
        longest = self._context_tokens * CHARACTERS_PER_TOKEN
        try:
            goal = fill(step.goal or "", known, max_characters=longest)
            constraints = tuple(fill(rule, known, max_characters=longest) for rule in self._rules)
            context = self._context(known, outputs)
        except DataPathError as error:
            raise StepInputError(step.name, f"The step {step.name!r} asks for what is not there: {error}") from error
        await self._recall(goal, context, attempt)
        return Briefing(goal, constraints, context)

    async def _recall(self, goal: str, context: EnhancedContextManager, attempt: Attempt) -> None:
        """Tell the agent what is remembered from earlier runs and fits its goal."""
        # What it is told counts as given to it: that it looks here is no look of its own.
        reach = attempt.reach and attempt.reach(attempt.idempotency_key, EffectBuffer())
        if reach and reach.remembers == "pipeline":
            for entry in await fitting(goal, reach.memory.pipeline):
                context.add_fact(f"remembered: {entry.key}", entry.value)

    def _items_of(self) -> str:
        """Return the step of whose output each part is told one item: none need read the whole list."""
        if self._step.for_each is None or not self._scope.part:
            return ""
        return DataPath.parse(self._step.for_each).root

    def _context(self, known: Mapping[str, object], outputs: Mapping[str, object]) -> EnhancedContextManager:
        """Return what the agent is told besides its goal.

        That is the paths of `read_data` if there are any; else the shared memory and the outputs of the
        dependencies, without what a placeholder already inserted whole. An input reaches an agent only
        where its goal, a rule or `read_data` names it: it may be a secret meant for a function.
        """
        told = EnhancedContextManager(self._description, max_tokens=self._context_tokens)
        if self._step.read_data:
            for written in self._step.read_data:
                told.add_fact(written, found_at(DataPath.parse(written), known))
            return told
        texts = (self._step.goal or "", *self._rules)
        inserted = {path.root for text in texts for path in placeholders(text) if not path.parts}
        shared = self._reader.shared(self._step.name, self._scope.part)
        known_by_item = self._items_of()
        for name, fact in {**shared, **outputs, **self._scope.given, **self._scope.facts}.items():
            if name not in inserted and name != known_by_item and not isinstance(fact, Absent):
                told.add_fact(name, fact)
        return told
