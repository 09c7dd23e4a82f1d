"""One tree of errors, one table of codes, and the page that shows it."""

import re
from http import HTTPStatus
from pathlib import Path

import grpc
import pytest

from terraloom import errors
from terraloom.errors import CODES, Codes, DataLossError, InternalError, InvalidArgumentError, TerraloomError, codes, error_from_status

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TerraloomError)]


def test_every_error_of_the_tree_is_in_the_table() -> None:
    assert set(CODES) == set(CLASSES) - {TerraloomError}
    drawn = re.findall(r"-- (\w+Error)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(kind.__name__ for kind in CODES)


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_an_error_survives_its_grpc_status(kind: type[TerraloomError]) -> None:
    error = kind("why")
    again = error_from_status(codes(error).grpc, "why")
    assert (type(again), str(again), again.exit_code) == (kind, "why", CODES[kind].exit)
    assert codes(error).grpc in grpc.StatusCode.__members__
    assert codes(error).http == 499 or codes(error).http in list(HTTPStatus)


def test_grpc_statuses_are_told_apart_and_all_of_them_become_errors() -> None:
    assert len({known.grpc for known in CODES.values()}) == len(CODES)
    for name in grpc.StatusCode.__members__:
        assert isinstance(error_from_status(name, "why"), TerraloomError)
    assert str(error_from_status("ABORTED", "why")) == "ABORTED: why"


def test_bad_input_exits_with_2_and_defects_with_1() -> None:
    assert {kind for kind, known in CODES.items() if known.exit == 2} == {InvalidArgumentError, errors.NotFoundError}
    assert {kind for kind, known in CODES.items() if known.http >= 500 and known.exit == 1} == {InternalError, DataLossError}


def test_what_is_not_of_the_tree_is_internal_and_a_subclass_takes_after_its_parent() -> None:
    class OwnError(InvalidArgumentError):
        pass

    assert codes(ValueError("why")) == CODES[InternalError]
    assert codes(OwnError("why")) == Codes("INVALID_ARGUMENT", 400, 2)


def test_the_page_has_the_table_of_the_code() -> None:
    page = (Path(__file__).parent.parent / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    assert rows == [(kind.__name__, known.grpc, str(known.http), str(known.exit)) for kind, known in CODES.items()]
