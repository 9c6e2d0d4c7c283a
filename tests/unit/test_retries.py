"""Which failures are worth another attempt, and how long it is waited for."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.exceptions import MissingExtraError, TAgentError
from tagent.ports.model_errors import ModelAuthenticationError, ModelError, ModelTimeoutError
from tagent.retries import NEVER_BY_ITSELF, RetryPolicy, backoff_seconds, kinds_of, retries
from tagent.task_agent.results import GoalNotAchievedError

ERRORS = Path(__file__).parents[2] / "docs/reference/errors.md"
CODES = ("step.failed", "step.timeout", "model.authentication", "budget.exceeded", "agent.goal_not_achieved")
KINDS = ("ConnectionResetError", "ConnectionError", "OSError", "Exception", "BaseException")
NAMES = st.lists(st.sampled_from([*CODES, *KINDS, "step", "model", "agent"]), max_size=4, unique=True)


def tried_again(policy: RetryPolicy, error: BaseException, *, code: str = "step.failed", table: bool = True) -> bool:
    """Return whether what raised `error` is tried again, where the table says `table` of its code."""
    return retries(policy, code=code, is_retryable=table, kinds=kinds_of(error))


@pytest.mark.parametrize("is_retryable", [True, False])
def test_without_a_word_the_table_decides(is_retryable: bool) -> None:  # noqa: FBT001 - a case
    """Most pipelines never say which errors."""
    assert retries(RetryPolicy(), code="step.failed", is_retryable=is_retryable) is is_retryable


def test_only_overrides_the_table_both_ways() -> None:
    """A goal that is not achieved is tried again if somebody asks for it, and nothing else is then."""
    policy = RetryPolicy(only=["agent.goal_not_achieved", ConnectionError])
    assert retries(policy, code="agent.goal_not_achieved", is_retryable=False)
    assert not retries(policy, code="step.timeout", is_retryable=True)
    assert tried_again(policy, ConnectionResetError(), table=False)
    assert not tried_again(policy, ValueError())


def test_never_goes_before_only_and_the_table() -> None:
    """Of a family of errors one member is hopeless."""
    policy = RetryPolicy(only=[OSError], never=[FileNotFoundError])
    assert tried_again(policy, TimeoutError())
    assert not tried_again(policy, FileNotFoundError())
    assert not retries(RetryPolicy(never=["step.timeout"]), code="step.timeout", is_retryable=True)


def test_a_missing_key_and_a_spent_budget_are_tried_again_only_by_name() -> None:
    """`only=[Exception]` means what may pass, not the one thing that costs money or cannot pass."""
    wide = RetryPolicy(only=[Exception, ModelError, "configuration"])
    refused = ModelAuthenticationError("mine", "mine refuses the key.")
    assert tried_again(wide, ModelTimeoutError("mine", seconds=1), code="model.timeout")
    assert not tried_again(wide, refused, code=refused.code)
    assert not tried_again(wide, MissingExtraError("mcp", feature="It"), code="configuration.missing_extra")
    for named in ("model.authentication", ModelAuthenticationError):
        assert tried_again(RetryPolicy(only=[named]), refused, code=refused.code, table=False)
    assert retries(RetryPolicy(only=["budget.exceeded"]), code="budget.exceeded", is_retryable=False)


def test_the_table_never_tries_again_what_must_be_named() -> None:
    """The page and the rule must not part."""
    page = ERRORS.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| .*? \| (yes|no)\b.*\|$", page, re.MULTILINE))
    assert {code: rows[code] for code in NEVER_BY_ITSELF} == dict.fromkeys(NEVER_BY_ITSELF, "no")


def test_a_class_means_its_children_and_a_group_of_one_its_one() -> None:
    """Whether a function uses a TaskGroup inside does not change what failed."""
    policy = RetryPolicy(only=[OSError])
    assert tried_again(policy, ExceptionGroup("tasks", [ExceptionGroup("more", [ConnectionResetError()])]))
    assert not tried_again(policy, ExceptionGroup("tasks", [ConnectionResetError(), ValueError()]))


def test_a_code_means_those_below_it() -> None:
    """Whatever the provider does wrong."""
    policy = RetryPolicy(only=["model"])
    assert retries(policy, code="model.output", is_retryable=False)
    assert not retries(policy, code="modelling", is_retryable=True)
    assert RetryPolicy(only=[ModelError]) == policy


def test_a_class_of_ours_is_kept_as_its_code() -> None:
    """After a crash the code is all that the journal has; the rule must come to the same."""
    policy = RetryPolicy(only=[ModelTimeoutError, GoalNotAchievedError, TAgentError])
    assert policy.only == ("model.timeout", "agent.goal_not_achieved", "TAgentError")
    assert retries(policy, code="model.timeout", is_retryable=True, kinds=())


def test_classes_are_kept_as_names() -> None:
    """The stored definition is JSON, and a resumed run is tried again after the same errors."""
    policy = RetryPolicy(only=(ConnectionError, "step.timeout"), never=[KeyError])
    assert (policy.only, policy.never) == (("ConnectionError", "step.timeout"), ("KeyError",))
    assert policy == RetryPolicy(only=["ConnectionError", "step.timeout"], never=["KeyError"])
    assert RetryPolicy(only="step.timeout").only == ("step.timeout",)
    assert len({policy, RetryPolicy()}) == 2


@pytest.mark.parametrize("named", ["", "step timeout", "httpx.ReadTimeout", 408, int, None, ["step.timeout"], object()])
def test_what_can_be_neither_a_code_nor_a_class_is_refused(named: object) -> None:
    """A name that nothing has would be silently never met."""
    for field in ("only", "never"):
        with pytest.raises(ValueError, match=f"`{field}` is neither a code"):
            RetryPolicy(**{field: [named]})  # type: ignore[arg-type]  # wrong on purpose


def test_a_refused_name_is_mended_where_it_can_be() -> None:
    """People write what they import."""
    with pytest.raises(ValueError, match="without its module: 'ReadTimeout'"):
        RetryPolicy(only=["httpx.ReadTimeout"])
    with pytest.raises(ValueError, match="both name KeyError"):
        RetryPolicy(only=[KeyError], never=["KeyError"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_seconds": -1},
        {"ceiling_seconds": float("inf")},
        {"base_seconds": float("nan")},
        {"base_seconds": "1"},
        {"base_seconds": True},
        {"jitter": 0.5},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """At the definition, not at the first failure in the night."""
    with pytest.raises(ValueError, match="finite numbers|True or False"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@given(NAMES, NAMES, st.sampled_from(CODES), st.integers(0, len(KINDS)), st.booleans())
def test_the_rule_holds_for_whatever_is_named(
    only: list[str],
    never: list[str],
    code: str,
    depth: int,
    is_retryable: bool,  # noqa: FBT001 - drawn
) -> None:
    """Never, then only, then the table; and the dangerous ones by their own name alone."""
    never = [name for name in never if name not in only]
    kinds, names = KINDS[depth:], {code, code.partition(".")[0], *KINDS[depth:]}
    policy = RetryPolicy(only=only, never=never)
    again = retries(policy, code=code, is_retryable=is_retryable, kinds=kinds)
    if names & set(never):
        assert not again
    elif not only:
        assert again is is_retryable
    elif code in NEVER_BY_ITSELF:
        assert again is bool({code, *kinds[:1]} & set(only))
    else:
        assert again is bool(names & set(only))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 2000), st.floats(0, 1))
def test_waits_grow_to_their_ceiling_and_chance_only_shortens_them(
    base: float, ceiling: float, failures: int, jitter: float
) -> None:
    """However long a step has been failing."""
    whole = backoff_seconds(RetryPolicy(base, ceiling, jitter=False), failures, jitter=jitter)
    assert 0 <= backoff_seconds(RetryPolicy(base, ceiling), failures, jitter=jitter) <= whole <= ceiling
    assert whole == backoff_seconds(RetryPolicy(base, ceiling), failures, jitter=1.0)
    assert whole <= backoff_seconds(RetryPolicy(base, ceiling, jitter=False), failures + 1, jitter=0.0)


def test_waits_are_asked_for_after_a_failure() -> None:
    """A count from 0 would make the first wait half as long as it says."""
    with pytest.raises(ValueError, match="counts from 1"):
        backoff_seconds(RetryPolicy(), 0, jitter=1.0)
