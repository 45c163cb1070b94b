"""No credential survives redaction, whatever characters it is made of."""

from __future__ import annotations

import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, strategies as st

from newbi_migrate.errors import UsageError
from newbi_migrate.store.redact import MARK, Redactor, redact, redact_uri
from newbi_migrate.store.uri import ConnectionString

# Surrogates are no characters of a connection string; a password of asterisks is its own mask.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="*")
passwords = st.text(characters, min_size=4, max_size=40)
any_password = st.text(characters, min_size=1, max_size=40)
encoders = st.sampled_from([lambda s: quote(s, safe=""), quote_plus])
usernames = st.text(characters, min_size=1, max_size=20).map(lambda s: quote(s, safe=""))


@given(user=usernames, first=any_password, second=any_password, encode=encoders)
@example(user="al", first="newbi", second="mongodb", encode=quote_plus)
def test_what_is_shown_does_not_depend_on_the_password(user, first, second, encode):
    """Two connection strings that differ in the password alone look the same."""
    one, two = (
        ConnectionString(f"mongodb://{user}:{encode(password)}@h:27017/newbi?replicaSet=rs0")
        for password in (first, second)
    )

    assert one.redacted == two.redacted
    assert repr(one) == repr(two)
    assert str(one) == str(two)


@given(password=passwords, encode=encoders)
def test_the_password_is_in_nothing_that_is_shown(password, encode):
    """Neither the password nor its encoded spelling is in what a reader sees."""
    shown = repr(ConnectionString(f"mongodb://al:{encode(password)}@h/newbi"))
    assume(password not in repr(ConnectionString("mongodb://al:other@h/newbi")))

    assert password not in shown
    assert encode(password) not in shown


@given(
    password=passwords,
    spell=st.sampled_from([str, quote, quote_plus, repr, ascii, lambda s: quote(s, safe="")]),
    before=st.text(max_size=10),
    after=st.text(max_size=10),
)
@example(password="p@ss/w?rd", spell=str, before="mongodb://al:", after="@h/db")
def test_a_known_password_is_taken_out_of_any_text(password, spell, before, after):
    """A text built around a password comes out without it, however it was spelled there."""
    connection = ConnectionString(f"mongodb://al:{quote(password, safe='')}@h/newbi")
    # A text that holds the password anyway, or an asterisk that completes it, proves nothing.
    assume(password not in f"{before}{MARK}{after}" and "*" not in before + after)
    shown = connection.redactor(f"{before}{spell(password)}{after}")

    assert password not in shown


special = st.text(st.sampled_from("@:/?#[]&=;%,. \n'\"") | characters, max_size=6)


@given(before=special, after=special, option=special)
def test_no_malformed_string_is_repeated_by_its_error(before, after, option):
    """However special characters break a string apart, its error shows no part of it."""
    secret = "s3cr3t-tomato"
    try:
        shown = repr(ConnectionString(f"mongodb://al:{before}{secret}{after}@h/newbi?{option}"))
    except UsageError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error.args)

    assert secret not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at mongodb://al:pw@h:1/db now", "at mongodb://***@h:1/db now"),
        ("'mongodb+srv://al:pw@h/db'", "'mongodb+srv://***@h/db'"),
        ("MONGODB://al:pw@h/db", "MONGODB://***@h/db"),
        ("mongodb://h/db?replicaSet=rs0", "mongodb://h/db?replicaSet=rs0"),
        ("mongodb://h/db?fresh=pw&tls=true", "mongodb://h/db?fresh=***&tls=true"),
        ("mongodb://al:p@w@h/db", "mongodb://***@h/db"),
        ("mongodb://al:p/w@h/db", "mongodb://***"),
        ("mongodb://al:p?w@h/db", "mongodb://***"),
        ("mongodb://al:pw", "mongodb://***"),
        ("mongodb://al:@pw.host/db", "mongodb://***"),
        ("mongodb://[::1]:27017/db", "mongodb://[::1]:27017/db"),
        ("authMechanismProperties=AWS_SESSION_TOKEN:pw", "authMechanismProperties=***"),
        ("{'AWS_SESSION_TOKEN': 'pw'}", "{'AWS_SESSION_TOKEN': '***'}"),
        ("tlsCertificateKeyFilePassword=pw&w=1", "tlsCertificateKeyFilePassword=***&w=1"),
        ('createUser: "al", "pwd": "p\\"w", roles', 'createUser: "al", "pwd": "***", roles'),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_credentials_are_known_by_their_form(text, shown):
    """What looks like a credential is taken out; the rest of the text stays readable."""
    assert shown == redact(text)


def test_what_is_no_connection_string_is_hidden_whole():
    """Without a scheme no part of a string can be told from another."""
    assert MARK == redact_uri("al:pw@h")


@pytest.mark.parametrize("secret", ["e", "al", "dry"])
def test_a_short_secret_leaves_words_whole(secret):
    """A password that is part of many words is taken out only where it stands alone."""
    shown = Redactor((secret,))(f"a dry deal: {secret}.")

    assert f": {MARK}." in shown
    assert "deal" in shown


def test_a_redactor_without_secrets_still_knows_their_forms():
    """Nothing is known of a host application's credentials, and their form is enough."""
    assert "mongodb://***@h/db" == Redactor()("mongodb://al:pw@h/db")
