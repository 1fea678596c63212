"""The schema of a log line describes what is said, finds what is not so, and every test is held to it."""

from typing import Any

import pytest
import structlog
from jsonschema import Draft202012Validator

from tests import loglines
from tests.pages.logevents import KINDS, OWN, rows, schema
from tests.test_narrator import rendered


@pytest.mark.parametrize("line", rendered(), ids=lambda line: line["event"])
def test_the_schema_describes_every_line(line: dict[str, Any]) -> None:
    """A line has the fields of its row and no other, each of its kind; so the whole schema says, by which anybody may judge a log."""
    Draft202012Validator(schema()).validate(line)


def test_the_schema_is_of_its_kind() -> None:
    """It is a JSON Schema, and has no kind for a field that no event has."""
    Draft202012Validator.check_schema(schema())
    fields = {field for row in rows().values() for field in row.fields}
    assert KINDS.keys() - fields == {"ts", "name", "account"}
    assert {(event, field) for event, field in OWN if field not in rows()[event].fields} == set()


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0.5},
        {"amount": "1E-8"},
        {"side": "long"},
        {"traded_at": "2026-01-02T12:00:00+00:00"},
        {"fees": {}},
        {"colour": "red"},
        {"level": "debug"},
    ],
    ids=str,
)
def test_a_line_that_is_not_as_described_fails_the_test_that_had_it_said(wrong: dict[str, Any]) -> None:
    """What any test has the program say is held against the schema: a wrong kind, a missing and an unknown field or event are found."""
    (right,) = [line for line in rendered() if line["event"] == "order.filled"]
    loglines.judge(right)
    assert loglines.offences() == []
    loglines.judge(right | wrong)
    loglines.judge({name: value for name, value in right.items() if name != "price"})
    structlog.get_logger().info("order.invented", symbol="BTC/USDT")
    assert len(loglines.offences()) == 3
