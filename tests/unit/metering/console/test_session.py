"""A session is whatever was sealed here, not long ago, and nothing else."""

from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from kat_metering.console.session import LONGEST_TOKEN, Seal, Session

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET = SecretStr("s" * 32)
TOKEN = "sk-kat-of-acme"


def test_a_sealed_session_opens_again() -> None:
    """What was put into the cookie comes out of it."""
    session = Session.begin(TOKEN)
    seal = Seal(SECRET, HOUR)
    assert seal.open(seal.close(session, now=NOW), now=NOW + HOUR) == session


def test_replicas_with_one_secret_open_each_others_sessions() -> None:
    """The secret is all that replicas need to share."""
    cookie = Seal(SECRET, HOUR).close(Session.begin(TOKEN), now=NOW)
    assert Seal(SECRET, HOUR).open(cookie, now=NOW) is not None


def test_a_session_ends_after_its_lifetime() -> None:
    """A second past the lifetime, the cookie says nothing."""
    seal = Seal(SECRET, HOUR)
    cookie = seal.close(Session.begin(TOKEN), now=NOW)
    assert seal.open(cookie, now=NOW + HOUR + timedelta(seconds=1)) is None


def test_another_secret_opens_nothing() -> None:
    """Without a secret of the settings, each process makes one of its own."""
    cookie = Seal(None, HOUR).close(Session.begin(TOKEN), now=NOW)
    assert Seal(None, HOUR).open(cookie, now=NOW) is None


def test_a_changed_cookie_opens_nothing() -> None:
    """One character more or less breaks the seal."""
    seal = Seal(SECRET, HOUR)
    cookie = seal.close(Session.begin(TOKEN), now=NOW)
    middle = len(cookie) // 2
    changed = cookie[:middle] + ("A" if cookie[middle] != "A" else "B") + cookie[middle + 1 :]
    assert [seal.open(text, now=NOW) for text in (changed, cookie[:-4], "", "ä")] == [None] * 4


def test_the_cookie_does_not_show_the_token() -> None:
    """It is encrypted, not only signed; and the session's own text hides it too."""
    session = Session.begin(TOKEN)
    assert TOKEN not in Seal(SECRET, HOUR).close(session, now=NOW) + repr(session)


def test_the_longest_token_fits_a_cookie() -> None:
    """Browsers drop cookies of more than 4096 bytes without a word."""
    assert len(Seal(SECRET, HOUR).close(Session.begin("t" * LONGEST_TOKEN), now=NOW)) < 3_900


def test_forms_of_another_session_are_told_apart() -> None:
    """The token of a form belongs to one session."""
    session = Session.begin(TOKEN)
    assert session.sent_form(session.form_token)
    assert not session.sent_form(Session.begin(TOKEN).form_token)
    assert not session.sent_form("")
