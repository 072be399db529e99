"""Several calls in one, as Salesforce answers them."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.simorg import Org
from tests.contract.test_simorg_http import Client, V, client, clock, org

__all__ = ["client", "clock", "org"]


def part(method: str, path: str, reference: str, body: Any = None, **more: Any) -> dict[str, Any]:
    given = {"method": method, "url": f"{V}{path}", "referenceId": reference, **more}
    return given if body is None else {**given, "body": body}


async def ask(client: Client, *parts: dict[str, Any], **options: bool) -> list[Any]:
    reply = await client("POST", f"{V}/composite", json={"compositeRequest": list(parts), **options})
    assert reply.status == 200, reply.body
    return [(each["httpStatusCode"], each["body"]) for each in reply.body["compositeResponse"]]


ACCOUNT = part("POST", "/sobjects/Account", "acc", {"Name": "Acme"})
CONTACT = part("POST", "/sobjects/Contact", "con", {"LastName": "Ng", "AccountId": "@{acc.id}"})


async def test_parts_refer_to_those_before_them_and_are_one_call(org: Org, client: Client) -> None:
    shown = part("GET", "/sobjects/Contact/@{con.id}?fields=AccountId", "shown")
    (_, account), (_, contact), (status, record) = await ask(client, ACCOUNT, CONTACT, shown)
    assert (status, record["AccountId"], record["Id"]) == (200, account["id"], contact["id"])
    assert org.stats.calls["write"] == 1
    assert org.usage.used(org.clock()) == 1
    assert org.stats.rows == {"created": 2}


async def test_a_reference_that_leads_nowhere_halts_that_part_alone(client: Client) -> None:
    bad = part("POST", "/sobjects/Account", "acc", {"Nope": "1"})
    (status, _), (halted, body), (fine, _) = await ask(client, bad, CONTACT, part("GET", "/sobjects/Account", "x"))
    assert (status, halted, body[0]["errorCode"], fine) == (400, 400, "PROCESSING_HALTED", 200)
    assert body[0]["message"] == "Invalid reference specified. No value for acc.id found in acc"


async def test_all_or_none_leaves_nothing_behind(org: Org, client: Client) -> None:
    rows = [{"attributes": {"type": "Contact"}, "LastName": name} for name in ("Ng", None)]
    many = part("POST", "/composite/sobjects", "many", {"records": rows})
    (halted, body), (status, _) = await ask(client, ACCOUNT, many, allOrNone=True)
    assert (halted, body[0]["errorCode"], status) == (400, "PROCESSING_HALTED", 200)
    assert list(org.store.table("Account").all()) == list(org.store.table("Contact").all()) == []
    assert not org.stats.rows.total()
    assert [status for status, _ in await ask(client, ACCOUNT, many)] == [201, 200]
    assert len(list(org.store.table("Contact").all())) == 1


@pytest.mark.parametrize(
    ("options", "seen"), [({}, "new"), ({"collateSubrequests": True}, "new"), ({"collateSubrequests": False}, "old")]
)
async def test_the_order_is_the_callers_only_where_he_says_so(
    client: Client, options: dict[str, bool], seen: str
) -> None:
    [(_, made)] = await ask(client, part("POST", "/sobjects/Account", "a", {"Name": "Acme", "Phone": "old"}))
    record = f"/sobjects/Account/{made['id']}"
    look, patch = part("GET", f"{record}?fields=Phone", "a"), part("PATCH", record, "b", {"Phone": "new"})
    (_, shown), _ = await ask(client, look, patch, **options)
    assert shown["Phone"] == seen


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "JSON_PARSER_ERROR"),
        ([ACCOUNT] * 2, "JSON_PARSER_ERROR"),
        ([part("GET", "/sobjects", f"a{n}") for n in range(26)], "LIMIT_EXCEEDED"),
        ([part("GET", "/query?q=SELECT+Id+FROM+Account", f"a{n}") for n in range(6)], "LIMIT_EXCEEDED"),
        ([part("GET", "/sobjects", "no-dash")], "JSON_PARSER_ERROR"),
        ([part("GET", "/sobjects", "a", httpHeaders={"Authorization": "x"})], "JSON_PARSER_ERROR"),
        ([part("GET", "/sobjects", "a", httpheaders={})], "JSON_PARSER_ERROR"),
        ([part("HEAD", "/sobjects", "a")], "JSON_PARSER_ERROR"),
    ],
)
async def test_what_cannot_be_read_is_refused_whole(
    org: Org, client: Client, parts: list[dict[str, Any]], code: str
) -> None:
    reply = await client("POST", f"{V}/composite", json={"compositeRequest": parts})
    assert (reply.status, reply.code) == (400, code)
    assert not org.stats.rows.total()


async def test_parts_that_are_no_resource_fail_alone(client: Client) -> None:
    parts = [
        part("GET", "/limits", "a"),
        part("POST", "/composite", "b", {}),
        part("PUT", "/sobjects/Account", "c", {}),
    ]
    assert [status for status, _ in await ask(client, *parts)] == [404, 405, 405]
