"""Files of tokens and what they allow, without a server: which are taken up and when, what is wrong with one, how rates count."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli import main
from terraloom_engines.server import callers, rates
from terraloom_engines.server.callers import Callers
from terraloom_engines.server.rates import Allowance, Bucket
from terraloom_engines.server.tokens import Token, new_token, read_tokens
from test_tokens import entry, refused


def test_a_file_that_is_just_being_written_revokes_nobody(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    stays, goes = new_token(), new_token()
    tokens.write_text(entry("stays", stays) + entry("goes", goes))
    callers = Callers(tokens)
    tokens.write_text("")
    assert callers.refresh() == []
    tokens.write_text(entry("stays", stays))
    assert callers.refresh() == [], "it may still grow"
    assert callers.authenticate(f"Bearer {goes}").name == "goes"
    assert [caller.name for caller in callers.refresh()] == ["goes"]
    assert callers.authenticate(f"Bearer {stays}").name == "stays"
    assert "revoked" in refused(lambda: callers.authenticate(f"Bearer {goes}"))


def test_a_file_that_changes_while_it_is_read_revokes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stays = tmp_path / "tokens.toml", new_token()
    path.write_text(entry("stays", stays))
    known = Callers(path)
    path.write_text("")
    assert known.refresh() == []

    def overtaken(path: Path) -> list[Token]:
        found = read_tokens(path)
        path.write_text(entry("stays", stays) + entry("comes", new_token()))
        return found

    monkeypatch.setattr(callers, "read_tokens", overtaken)
    assert known.refresh() == [] and known.authenticate(f"Bearer {stays}").name == "stays"
    monkeypatch.undo()
    assert known.refresh() == [] and [caller.name for caller in known.all] == ["stays", "comes"]


def test_an_expired_token_is_told_and_found_by_refresh(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    old, new = new_token(), new_token()
    tokens.write_text(entry("old", old, expires="2020-01-01T00:00:00Z") + entry("new", new, expires="2999-01-01T00:00:00+01:00"))
    callers = Callers(tokens)
    assert callers.authenticate(f"Bearer {new}").name == "new"
    assert "'old' has expired" in refused(lambda: callers.authenticate(f"Bearer {old}"))
    assert [caller.name for caller in callers.refresh()] == ["old"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a", "is not TOML"),
        ("a = 1", "must be a table"),
        ("[a]\n", "sha256 must be 64"),
        ('[a]\nsha256 = "SECRET"', "sha256 must be 64"),
        ('[a]\nsha256 = "{digest}"\nsession = 1', "'session' is unknown: allowed are sha256, sessions"),
        ('[a]\nsha256 = "{digest}"\nsessions = 0', "sessions must be a whole number from 1 up"),
        ('[a]\nsha256 = "{digest}"\nsessions = true', "sessions must be"),
        ('[a]\nsha256 = "{digest}"\ntiles_per_second = nan', "tiles_per_second must be a number above 0"),
        ('[a]\nsha256 = "{digest}"\nbytes_per_second = "1"', "bytes_per_second must be"),
        ('[a]\nsha256 = "{digest}"\noperator = 1', "operator must be true or false"),
        ('[a]\nsha256 = "{digest}"\nexpires = 2027-01-01', "expires must be a time with its zone"),
        ('["a b"]\nsha256 = "{digest}"', "is no name of a token"),
        ('[a]\nsha256 = "{digest}"\n[b]\nsha256 = "{digest}"', "has one sha256 twice"),
    ],
)
def test_a_wrong_file_of_tokens_is_told_without_what_it_holds(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text.format(digest="0" * 64) if "{" in text else text)
    said = refused(lambda: read_tokens(path), InvalidArgumentError)
    assert complaint in said and "SECRET" not in said and "0" * 64 not in said


def test_a_new_token_is_printed_with_an_entry_that_lets_it_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "terraloom",
            "token",
            "create",
            "me@example.org",
            "--sessions",
            "3",
            "--bytes-per-second",
            "9",
            "--operator",
            "--expires",
            "2999-01-02",
            "--json",
        ],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    made = json.loads(capsys.readouterr().out)
    (tmp_path / "tokens.toml").write_text(made["entry"])
    caller = Callers(tmp_path / "tokens.toml").authenticate(f"Bearer {made['token']}")
    limits = caller.token.limits
    assert (caller.name, limits.sessions, limits.tiles_per_second, limits.bytes_per_second) == ("me@example.org", 3, None, 9.0)
    assert caller.token.operator and made["token"] not in made["entry"]


def test_a_bucket_lets_through_its_rate_and_what_is_urgent_goes_deeper(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(rates, "time", SimpleNamespace(monotonic=lambda: now))
    bucket = Bucket(100.0)
    bucket.take(100.0)
    assert bucket.wait() == 0.0
    bucket.take(50.0)
    assert (bucket.wait(), bucket.wait(reserve=1.0)) == (0.5, 0.0)
    bucket.take(100.0)
    assert (bucket.wait(), bucket.wait(reserve=1.0)) == (1.5, 0.5)
    now += 1.25
    assert (bucket.wait(), bucket.wait(reserve=1.0)) == (0.25, 0.0)
    now += 60.0
    bucket.take(101.0)
    assert bucket.wait() == pytest.approx(0.01), "it holds what comes in a second"
    free = Allowance()
    free.spend(10, 1 << 40)
    assert free.pause() == 0.0 and (free.tiles, free.bytes) == (10, 1 << 40)
