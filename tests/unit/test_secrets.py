"""What nobody may read in an error, a log line or an event."""

import pytest

from tagent.secrets import register_secret, scrubbed, secrets_in, without_secrets


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("401: sk-12345678 is wrong", "401: *** is wrong"),
        ("sk-12345678-more of sk-12345678", "*** of ***"),
        ("GET /?key=a%2Fb%2Fc%2Fd%2Fe failed", "GET /?key=*** failed"),
        ("{'Authorization': 'Bearer abc', 'n': 1}", "{'Authorization': '***', 'n': 1}"),
        ('{"x-api-key": "abc"}', '{"x-api-key": "***"}'),
        ("authorization: Basic dTpw\nHost: x", "authorization: ***\nHost: x"),
        ("sent bearer abc.def-1 twice", "sent bearer *** twice"),
        ("it has api_key=sk-abc, and fails", "it has api_key=***, and fails"),
        ("it has api_key: sk-abc and fails", "it has api_key: *** and fails"),
        ("{'api_key': 'sk-abc', 'n': 1}", "{'api_key': '***', 'n': 1}"),
        ("GET /?api_key=abc&n=1", "GET /?api_key=***&n=1"),
        ("TAGENT_API_KEY=abc", "TAGENT_API_KEY=***"),
        ("Pass api_key=..., or set TAGENT_API_KEY", "Pass api_key=..., or set TAGENT_API_KEY"),
        ("sent Basic bWU6cGFzcw== twice", "sent Basic *** twice"),
        ("sent basic bWU6cGFzc3dvcmQ twice", "sent basic *** twice"),
        ("sent Basic bWU6w7_Dvw== twice", "sent Basic *** twice"),
        ("a basic understanding of Basic training", "a basic understanding of Basic training"),
        ("redis://me:pass@host:1/0", "redis://***@host:1/0"),
        ("redis://:p@ss@host/0", "redis://***@host/0"),
        ("https://host:80/a@b", "https://host:80/a@b"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_hidden_and_all_else_stays(text: str, told: str) -> None:
    """A message must still say what happened, and where."""
    assert without_secrets(text, ["sk-12345678", "sk-12345678-more", "a/b/c/d/e"]) == told


def test_what_is_registered_or_in_a_variable_of_a_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may come from a file, or from an environment that changes."""
    assert scrubbed("from-a-file and from-the-environment") == "from-a-file and from-the-environment"
    register_secret("from-a-file")
    register_secret("and")
    monkeypatch.setenv("Other_Service_token", "from-the-environment")
    assert scrubbed("from-a-file and from-the-environment") == "*** and ***"


def test_only_variables_that_say_so_hold_secrets() -> None:
    """A short value is an ordinary word, which would be hidden everywhere."""
    variables = {
        "A_API_KEY": "key-12345",
        "B_SECRET": "1234567",
        "C_PASSWORD": "",
        "AWS_SECRET_ACCESS_KEY": "access-12",
        "D_ACCESS_KEY": "access-34",
        "SMTP_PASS": "pass-1234",
        "E_CREDENTIALS": "user:pass",
        "BYPASS": "12345678",
        "TOKENS": "12345678",
        "PATH": "/usr/bin",
    }
    assert secrets_in(variables) == {"key-12345", "access-12", "access-34", "pass-1234", "user:pass"}
