"""What a person is shown of a comparison, and what a machine gets."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from syncline.cli.main import cli
from syncline.cli.verify import _view
from syncline.contracts.ref import Ref
from syncline.verify.reasons import Difference, Reason
from syncline.verify.report import Compared, Read, Report

CONTACT, CUSTOMER = Ref("salesforce", "Contact", "003"), Ref("hub", "customer", "k")
WHY = "changed unseen: hub/customer/k"


def report(*reasons: Reason) -> Report:
    found = Report(datetime(2026, 11, 21, 10, tzinfo=UTC), seconds=1.25)
    found.objects = {
        "salesforce/Contact": Read(pages=50, rows=100_000, linked=99_990, left_out=Counter({"it has no parent": 10})),
        "hub/customer": Read(pages=50, rows=99_990, linked=99_990),
    }
    found.pairs = {"hub/customer and salesforce/Contact": Compared(50_000, 2, 3, {"hub/customer": "ab"})}
    found.calls = {"salesforce": Counter(query=50, read=3, auth=1)}
    found.differences = [
        Difference("field", reason, WHY, CUSTOMER, CONTACT, "customer-to-contact", "Phone", "1\x1b[2J", None)
        for reason in reasons
    ]
    return found


def shown(found: Report, most: int = 100) -> str:
    out = StringIO()
    Console(file=out, width=220).print(_view(found, most))
    return out.getvalue()


def test_equal_is_said_with_its_moment_and_its_evidence() -> None:
    text = shown(report())
    assert "equal as of 2026-11-21 10:00:00 UTC: 199,990 rows in 1.2 s" in text
    assert "calls to salesforce: 54 (1 auth, 50 query, 3 read); 50 to read 100,000 rows" in text
    assert "10 it has no parent" in text
    assert "not equal" not in text


def test_each_reason_is_counted_with_the_command_that_goes_on_from_there() -> None:
    text = shown(report("drift", "drift", "held"))
    assert "2 drift: syncline verify --repair" in text
    assert "1 held: syncline held list" in text
    assert text.rstrip().endswith("not equal as of 2026-11-21 10:00:00 UTC")
    assert "\x1b" not in text


def test_more_than_is_asked_for_is_only_counted() -> None:
    text = shown(report("drift", "drift", "drift"), most=1)
    assert text.count(WHY) == 1
    assert "2 more differences: --limit shows more, --json all" in text


def test_what_is_beyond_the_list_is_not_equal() -> None:
    found = report()
    found.unlisted = 7
    assert not found.equal
    assert "7 more records differ than can be listed" in shown(found)


def test_machines_get_all_of_it() -> None:
    document = report("drift", "held").document()
    assert (document["equal"], document["as_of"]) == (False, "2026-11-21T10:00:00.000+00:00")
    assert document["counts"]["drift"] == document["counts"]["held"] == 1
    assert document["calls"]["salesforce"] == {"query": 50, "read": 3, "auth": 1, "all": 54, "per_100000_rows": 50}
    assert document["differences"][0]["source"] == "hub/customer/k"


def test_too_few_rows_tell_no_price() -> None:
    found = report()
    found.objects["salesforce/Contact"] = Read(pages=1, rows=10)
    assert found.price("salesforce") is None


@pytest.mark.parametrize("wrong", ["Contact", ".Contact", "salesforce."])
def test_an_object_is_named_as_in_pipelines_yaml(wrong: str) -> None:
    told = CliRunner().invoke(cli, ["verify", "--object", wrong])
    assert told.exit_code == 2
    assert "like salesforce.Contact" in told.output
