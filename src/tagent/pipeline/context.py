"""What a step's function may ask for: declare a parameter of type `StepContext`, of any name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tagent.memory import StepMemory
from tagent.messaging import StepMessages
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.kinds import StepStatus
from tagent.ports.language_model import TokenUsage
from tagent.task_agent.tools.reach import Reach, required

if TYPE_CHECKING:
    from tagent.pipeline.events import ApprovalAnswered
    from tagent.pipeline.plan import Plan


@dataclass(frozen=True, slots=True)
class StepReport:
    """How an earlier step went.

    Attributes:
        status: Where it stands.
        attempts: How often it was tried.
        execution_time: Seconds from its first start to its end, without what it waited for somebody to approve it.
        model: The model that answered; empty for a function.
        usage: Tokens and requests of all attempts.
        cost_usd: The known prices of all attempts.
        unpriced_calls: How many of its model calls have no known price.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> def told(facts: int, context: StepContext) -> str:
        ...     return f"{context.steps['facts'].status}, attempts: {context.steps['facts'].attempts}"
        >>> run_pipeline(Pipeline("p").step("facts", run=lambda: 7).step("told", run=told)).final_output
        'completed, attempts: 1'
    """

    status: StepStatus
    attempts: int = 0
    execution_time: float = 0.0
    model: str = ""
    usage: TokenUsage = TokenUsage()
    cost_usd: float = 0.0
    unpriced_calls: int = 0


@dataclass(slots=True)
class StepContext:
    """The run as one attempt at a step sees it.

    Attributes:
        run_id: The run.
        step: The step.
        attempt: Which try this is, from 1.
        idempotency_key: Equal for every attempt at this step of this run; hand it to services that
            take one, so that a repeated call has no second effect.
        inputs: The run's inputs by name.
        steps: Step name -> how it went, for the steps that this one depends on.
        shared: The run's shared memory: `shared_context` and what completed steps saved.
        cancelled: True once nobody waits for this attempt any more; long work looks and returns early.
        facts: What this attempt has learned so far, by name.
        memories: What it has saved so far, by key.
        reach: The way to memory and mail; None outside a run.
        part: The item, branch or round of the step that this is; empty for the step itself.
        approval: Who has approved that it starts, and what he said; None where nobody was asked.
        planned: What this attempt has changed about the steps so far; None where it cannot.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> def text(city: str, context: StepContext) -> str:
        ...     context.learn("city", city)
        ...     return f"{context.step}, attempt {context.attempt}"
        >>> result = run_pipeline(Pipeline("p").step("text", run=text), inputs={"city": "Lisbon"})
        >>> result.final_output, result.learned_facts
        ('text, attempt 1', {'city': 'Lisbon'})
    """

    run_id: str
    step: str
    attempt: int
    idempotency_key: str
    inputs: Mapping[str, object] = field(default_factory=dict)
    steps: Mapping[str, StepReport] = field(default_factory=dict)
    shared: Mapping[str, object] = field(default_factory=dict)
    cancelled: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    memories: dict[str, object] = field(default_factory=dict)
    reach: Reach | None = field(default=None, repr=False)
    part: str = ""
    approval: "ApprovalAnswered | None" = None
    planned: "Plan | None" = field(default=None, repr=False)

    @property
    def plan(self) -> "Plan":
        """What this attempt changes about the steps that have not started: adds, links, enables or disables them.

        It counts when this attempt succeeds, together with its output; if it does not fit, the step fails with
        `pipeline.change`.

        Raises:
            PipelineError: If the context is not that of a step's function, or of an item's, a branch's or a round's.
        """
        if self.planned is None:
            raise PipelineError("Only the function of a step can change the steps of its run, while it runs.")
        return self.planned

    @property
    def memory(self) -> StepMemory:
        """What is remembered: of the step, its run, its pipeline, and the spaces that this one shares.

        What is written counts when this attempt succeeds; until then only this attempt sees it.

        Raises:
            OutsidePipelineError: If the context was made by hand.
        """
        return required(self.reach, "memory").memory

    @property
    def messages(self) -> StepMessages:
        """The mail of the step.

        Raises:
            OutsidePipelineError: If the context was made by hand.
        """
        return required(self.reach, "mail").messages

    def learn(self, name: str, fact: object) -> None:
        """Put `fact` into the result's `learned_facts` when this attempt succeeds.

        Raises:
            TypeError: If the name is no text.
        """
        self.facts[_key(name)] = fact

    def save(self, key: str, value: object) -> None:
        """Put `value` into the run's shared memory when this attempt succeeds; later steps see it.

        Raises:
            TypeError: If the key is no text.
        """
        self.memories[_key(key)] = value


def _key(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"A name must be text, not {type(name).__name__}: it becomes a key in JSON.")
    return name
