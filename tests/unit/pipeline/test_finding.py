"""What runs are found by: labels, and words in any script."""

import pytest

from builders import chain, run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.exceptions import ConfigurationError
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.ports.records import RunQuery
from tagent.search import LONGEST_TEXT, searchable, words_of


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("Report on Écoles", "écoles REPORT"),
        ("STRASSE", "straße"),
        ("\uff34\uff25\uff21", "tea"),
        ("綠茶與咖啡", "咖啡"),
        ("Зелёный чай", "ЗЕЛЁНЫЙ"),
        ("e\u0301cole", "\u00e9cole"),
        ("תה ירוק", "ירוק"),
    ],
)
def test_words_are_found_in_any_script_whatever_their_case_and_form(text: str, search: str) -> None:
    """Somebody types what he remembers, as his keyboard gives it."""
    found = searchable([text])
    assert all(word in found for word in words_of(search))


def test_the_text_of_a_run_stays_small() -> None:
    """Ten thousand of them are read for a search; a long value does not push out the others."""
    text = searchable(["x" * 10**6, "tea", *["y" * 1000] * 50])
    assert len(text) <= LONGEST_TEXT
    assert "tea" in text


async def test_a_run_is_found_by_its_inputs_outputs_labels_and_errors() -> None:
    """And not by what another one had."""
    store = MemoryStore()

    def brew(topic: str) -> str:
        if topic == "milk":
            raise ValueError("No kettle")
        return f"A cup of {topic}"

    pipeline = Pipeline("Kitchen").step("brew", run=brew)
    await run(pipeline, inputs={"topic": "Oolong"}, store=store)
    opened = services(store=store)
    opened.new_id()
    await PipelineExecutor(pipeline, inputs={"topic": "milk"}, labels={"team": "Blue"}, services=opened).execute()

    async def found(text: str) -> list[str]:
        return sorted(it.run_id for it in await store.runs(RunQuery(words=words_of(text))))

    assert await found("kitchen") == ["run-1", "run-2"]
    assert await found("oolong") == await found("cup OOLONG") == ["run-1"]
    assert await found("kettle") == await found("blue") == await found("run-2") == ["run-2"]
    assert await found("oolong kettle") == []


async def test_labels_are_kept_with_the_run() -> None:
    """They are how a team tells its runs apart."""
    store = MemoryStore()
    executor = PipelineExecutor(chain("a"), labels={"team": "blue"}, services=services(store=store))
    await executor.execute()
    assert [it.labels for it in await store.runs(RunQuery(labels={"team": "blue"}))] == [{"team": "blue"}]


@pytest.mark.parametrize("labels", [{"": "x"}, {"a b": "x"}, {'a"b': "x"}, {"a" * 64: "x"}, {"a": 1}, {"a": "x" * 257}])
def test_a_label_that_is_none_is_refused(labels: dict[str, str]) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigurationError, match="label"):
        PipelineExecutor(chain("a"), labels=labels, services=services())
