"""Splits text of any language into the words by which texts are compared. Pure."""

import re
import unicodedata

LONGEST_QUERY = 8_000
"""Characters of a query that are read: half from its beginning, half from its end. What is wanted stands there."""

PIECE_LENGTH = 4
"""Letters in a piece of a word. Three match by chance, five miss short words."""

_STOP_WORDS = """
a about all an and any are as at be by can could d did do does for from give had has have how i if in
into is it  its just let like ll m me my need no not of on one or our out please re s should so some t
than that the their  them then there these they this to up us ve want was we were what when where which
who whom why will with would  you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""English words that say nothing of what a goal is about. The function words of other languages need no list: in
texts of the same language they are common and weigh little, in English texts they are not found."""

_IDENTIFIER_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_NOT_A_WORD = re.compile(r"[\d/@]")
_ENDS_SENTENCE = (".", "!", "?", ":", "…", "-", "*")


def words_in(text: str) -> tuple[str, ...]:
    """Return the words of `text`, in order, case folded; identifiers are taken apart.

    Chinese and Japanese, which put no space between words, become overlapping pairs of characters.

    Example:
        >>> words_in("getUserById, send_email & HTTPServer2")
        ('get', 'user', 'by', 'id', 'send', 'email', 'http', 'server2')
        >>> words_in("会议室")
        ('会议', '议室')
    """
    spaced = _IDENTIFIER_BORDER.sub(" ", unicodedata.normalize("NFKC", text))
    spaced = _UNSPACED.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", spaced)
    return tuple(_WORD.findall(spaced.casefold()))


def query_words(query: str) -> tuple[str, ...]:
    """Return the distinct words of `query` that say what it is about, in order.

    Left out are English function words and single Latin letters; of a long query also its middle.

    Example:
        >>> query_words("Please send a mail to the team, and send it now")
        ('send', 'mail', 'team', 'now')
    """
    found = dict.fromkeys(words_in(_considered(query)))
    return tuple(word for word in found if word not in STOP_WORDS and (len(word) > 1 or not word.isascii()))


def naming_words(query: str) -> frozenset[str]:
    """Return the words of `query` that seem to name one particular thing: a person, a place, a file, a number.

    They are those with a capital inside a sentence, with a digit, a slash or an at sign. Which tool is
    wanted does not depend on them.

    Example:
        >>> sorted(naming_words("Move report_7.pdf to Ana at ana@acme.io. Then rest."))
        ['7', 'acme', 'ana', 'io', 'pdf', 'report']
    """
    naming: set[str] = set()
    starts_sentence = True
    for token in _considered(query).split():
        letters = token.lstrip("\"'([{«“‘¿¡")  # noqa: RUF001 - the quotation marks that people type
        if _NOT_A_WORD.search(token) or (not starts_sentence and letters[:1].isupper()):
            naming.update(words_in(token))
        starts_sentence = token.endswith(_ENDS_SENTENCE)
    return frozenset(naming)


def pieces_of(word: str) -> tuple[str, ...]:
    """Return every run of four letters in `word`, accents removed; none of a shorter word.

    Example:
        >>> pieces_of("música")
        ('musi', 'usic', 'sica')
    """
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", word) if not unicodedata.combining(mark))
    return tuple(plain[start : start + PIECE_LENGTH] for start in range(len(plain) - PIECE_LENGTH + 1))


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(len(run) - 1)] or [run]


def _considered(query: str) -> str:
    half = LONGEST_QUERY // 2
    return query if len(query) <= LONGEST_QUERY else f"{query[:half]} {query[-half:]}"
