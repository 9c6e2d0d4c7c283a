"""Ranking short texts by words: any language, any input, the same answer every time."""

import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagent.task_agent.retrieval.ranking import FullTextSearchError, TextIndex, fused, index_of
from tagent.task_agent.retrieval.words import naming_words, query_words, words_in

TOOLS = TextIndex(
    [
        ("getUserById", "Return one user of the shop."),
        ("send_email", "Send a letter to a person."),
        ("create_presentation", "Create slides from an outline."),
        ("预订会议室", "在办公室预订会议室"),
        ("écouter", "Écouter de la musique"),
    ],
    weights=(2, 1),
)


def first(query: str) -> int | None:
    return next((number for number, _ in TOOLS.ranked(query)), None)


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("Which USER has the number 4?", 0),
        ("email", 1),
        ("Send the letters", 1),
        ("Faz uma apresentação", 2),
        ("presentatoin slides", 2),
        ("请帮我订一个会议室", 3),
        ("ecouter", 4),
        ("MUSÍQUE", 4),
        ("please do it for me", None),
        ("Ω ≈ ç", None),
        ("", None),
    ],
)
def test_finds_words_inside_identifiers_in_any_form_and_script(query: str, number: int | None) -> None:
    """Tools are named by programmers and asked for by everyone else."""
    assert first(query) == number


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'; DROP TABLE words; --",
        "email AND NOT NEAR(user, 2) OR part0 : *",
        "part0:email ^user {a b}: (",
        "emoji \U0001f600\U0001f468\u200d\U0001f469 email",
        "\0 email \ud800",
        "email " + "x" * 100_000,
        " ".join(f"word{number}" for number in range(20_000)),
        " ".join(f"presentation{number}ant" for number in range(3_000)),
    ],
)
def test_no_query_is_read_as_a_query_language(query: str) -> None:
    """Goals are text from anywhere."""
    before = TOOLS.ranked("email")
    TOOLS.ranked(query)
    assert TOOLS.ranked("email") == before


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.lists(st.tuples(st.text(max_size=60)), max_size=8))
def test_any_texts_and_any_query_give_a_ranking(query: str, texts: list[tuple[str]]) -> None:
    """A goal that breaks the search would break the agent."""
    index = TextIndex(texts)
    ranking = index.ranked(query)
    numbers = [number for number, _ in ranking]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) <= set(range(len(texts)))
    assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)
    assert index.ranked(query) == ranking
    covered = index.coverage(query)
    assert all(0 < share <= 1.000001 for share in covered.values())


def test_what_is_wanted_is_found_at_both_ends_of_a_long_goal() -> None:
    """People paste a document, and ask before or after it."""
    filler = "lorem ipsum " * 10_000
    assert first(f"Make a presentation: {filler}") == 2
    assert first(f"{filler} Send that as email.") == 1


def test_coverage_counts_rare_words_more_and_passes_over_names() -> None:
    """Whom a letter goes to does not say which tool sends it."""
    sure = TOOLS.coverage("Send an email to Ana at 10")
    assert sure[1] == pytest.approx(1.0)
    assert TOOLS.coverage("quem és tu") == {}
    assert TOOLS.coverage("Send the parcel with email")[1] < 1


def test_threads_share_an_index() -> None:
    """Agents of several event loops work in one process."""
    wanted = TOOLS.ranked("send the user an email")
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(TOOLS.ranked("send the user an email") for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [wanted] * 200


def test_an_index_is_built_once_for_the_same_texts() -> None:
    """Two hundred agents with the same tools need one."""
    texts = tuple((f"tool {number}",) for number in range(3))
    assert index_of(texts) is index_of(tuple(texts))
    assert index_of(texts) is not index_of(texts[:2])


def test_a_python_without_full_text_search_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of SQLite, "no such module", would send its reader to pip."""

    class Without(sqlite3.Connection):
        def execute(self, sql: str, *_: object) -> sqlite3.Cursor:
            assert "fts5" in sql, "nothing else is tried"
            raise sqlite3.OperationalError("no such module: fts5")

    connection = Without(":memory:")
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: connection)
    with pytest.raises(FullTextSearchError, match="no such module: fts5"):
        TextIndex([("a",)])


def test_reciprocal_ranks_prefer_what_several_rankings_agree_on() -> None:
    """Scores of words and of meaning cannot be compared, ranks can."""
    assert [number for number, _ in fused([[(0, 99.0), (1, 98.0)], [(1, 0.2), (2, 0.1)]])] == [1, 0, 2]
    assert fused([]) == []
    assert fused([[(0, 1.0)], []]) == [(0, 1 / 61)]


def test_words_of_a_query_leave_out_what_says_nothing() -> None:
    """Otherwise "to" would choose the tools."""
    assert query_words("Could you please send it to me? I sent X; 会") == ("send", "sent", "会")
    assert words_in("parseHTTPResponse_v2") == ("parse", "http", "response", "v2")
    assert naming_words("Ask Bob: who is Ana?") == {"bob", "ana"}
