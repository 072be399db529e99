from __future__ import annotations

import pytest

from syncline.simorg import DEMO, Options, Org, Schema
from tests.unit.simorg.world import create, delete, names, refused, select


@pytest.fixture
def people(org: Org) -> Org:
    """Four contacts; two of Acme, one of Über, one of nobody."""
    acme = create(org, "Account", Name="Acme", Hub_Id__c="A-1", Rating="Hot", AnnualRevenue=6, NumberOfEmployees=9)
    uber = create(org, "Account", Name="Über", Hub_Id__c="A-2", ParentId=acme)
    create(org, "Contact", LastName="Ng", Email="ng@x.de", AccountId=acme, Birthdate="2000-02-29", Title="100%")
    create(org, "Contact", LastName="oz", Email="Oz@X.de", AccountId=acme, HasOptedOutOfEmail=True, Title="100 %")
    create(org, "Contact", LastName="Ün", AccountId=uber, Title="it's \\ new\nline")
    create(org, "Contact", LastName="_A", Department="R&D")
    return org


def where(org: Org, condition: str, source: str = "Contact") -> set[str]:
    return set(names(org, f"SELECT Name FROM {source} WHERE {condition}"))


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("LastName = 'NG'", {"Ng"}),
        ("lastname != 'ng'", {"oz", "Ün", "_A"}),
        ("LastName <> 'ng'", {"oz", "Ün", "_A"}),
        ("Email = null", {"Ün", "_A"}),
        ("Email = ''", {"Ün", "_A"}),
        ("Email != null", {"Ng", "oz"}),
        ("Email != 'ng@x.de'", {"oz", "Ün", "_A"}),
        ("Email IN ('NG@x.de', 'nobody@x.de')", {"Ng"}),
        ("Email IN ('ng@x.de', null)", {"Ng", "Ün", "_A"}),
        ("Email NOT IN ('ng@x.de')", {"oz", "Ün", "_A"}),
        ("Email NOT IN ('ng@x.de', null)", {"oz"}),
        ("LastName > 'ng'", {"oz", "Ün"}),
        ("LastName <= 'OZ'", {"Ng", "oz", "_A"}),
        ("LastName LIKE 'n%'", {"Ng"}),
        ("LastName LIKE '%N'", {"Ün"}),
        ("LastName LIKE '_z'", {"oz"}),
        (r"LastName LIKE '\_%'", {"_A"}),
        (r"Title LIKE '100\%'", {"Ng"}),
        ("Title LIKE '100%'", {"Ng", "oz"}),
        ("Email LIKE '%'", {"Ng", "oz"}),
        (r"Title = 'it\'s \\ new\nline'", {"Ün"}),
        (r"LastName = '\u00dcn'", {"Ün"}),
        ("HasOptedOutOfEmail = true", {"oz"}),
        ("HasOptedOutOfEmail != TRUE", {"Ng", "Ün", "_A"}),
        ("HasOptedOutOfEmail = null", {"Ng", "Ün", "_A"}),
        ("Account.Name = 'acme'", {"Ng", "oz"}),
        ("Account.Name = null", {"_A"}),
        ("Account.Name != 'Acme'", {"Ün", "_A"}),
        ("Account.Parent.Hub_Id__c = 'a-1'", {"Ün"}),
        ("Contact.LastName = 'Ng'", {"Ng"}),
        ("Birthdate = 2000-02-29", {"Ng"}),
        ("Birthdate < 2000-03-01", {"Ng"}),
        ("Birthdate > 2000-02-29", set()),
        ("Birthdate != 2000-02-28", {"Ng", "oz", "Ün", "_A"}),
        ("Birthdate IN (2000-02-28, 2000-02-29)", {"Ng"}),
        ("NOT LastName = 'Ng'", {"oz", "Ün", "_A"}),
        ("(NOT Email LIKE '%x.de') AND LastName != 'Ün'", {"_A"}),
        ("LastName = 'Ng' OR (LastName = 'oz' AND Email = null)", {"Ng"}),
        ("((LastName = 'Ng' OR LastName = 'oz') AND (Account.Name LIKE 'a%'))", {"Ng", "oz"}),
        ("CreatedDate = TODAY", {"Ng", "oz", "Ün", "_A"}),
        ("CreatedDate > TODAY", set()),
        ("CreatedDate >= 2026-11-20T11:00:00+01:00", {"Ng", "oz", "Ün", "_A"}),
        ("CreatedDate > 2026-11-20T10:00:00Z", set()),
        ("CreatedDate < 2026-11-20T10:00:00.001Z", {"Ng", "oz", "Ün", "_A"}),
        ("SystemModstamp >= 2026-11-20T10:00:00Z AND SystemModstamp <= 2026-11-20T10:00:00Z", {"Ng", "oz", "Ün", "_A"}),
        ("SystemModstamp > 2026-11-20T10:00:00Z OR SystemModstamp < LAST_WEEK", set()),
    ],
)
def test_condition_finds(people: Org, condition: str, found: set[str]) -> None:
    assert where(people, condition) == found


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("AnnualRevenue = 6.0", {"Acme"}),
        ("AnnualRevenue > 5", {"Acme"}),
        ("AnnualRevenue < 100", {"Acme"}),
        ("AnnualRevenue = null", {"Über"}),
        ("NumberOfEmployees IN (9, 10)", {"Acme"}),
        ("Rating = 'hot'", {"Acme"}),
        ("Hub_Id__c IN ('a-1', 'A-2')", {"Acme", "Über"}),
    ],
)
def test_condition_on_numbers_and_picklists_finds(people: Org, condition: str, found: set[str]) -> None:
    assert where(people, condition, "Account") == found


def test_ids_are_found_in_both_lengths_and_compared_with_their_case(people: Org) -> None:
    [row] = select(people, "SELECT Id, AccountId FROM Contact WHERE LastName = 'Ng'")
    assert where(people, f"Id = '{row['Id'][:15]}'") == {"Ng"}
    assert where(people, f"AccountId IN ('{row['AccountId']}')") == {"Ng", "oz"}
    assert where(people, f"Id > '{row['Id']}'") == {"oz", "Ün", "_A"}
    with refused("INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: junk"):
        where(people, "AccountId = 'junk'")


def test_rows_hold_fields_in_the_order_of_the_statement_with_the_schemas_spelling(people: Org) -> None:
    soql = "select EMAIL, account.NAME, Account.owner.username, hasoptedoutofemail from contact where lastname = 'ng'"
    [row] = select(people, soql)
    assert list(row) == ["Email", "Account", "HasOptedOutOfEmail"]
    assert row["Account"] == {"Name": "Acme", "Owner": {"Username": "integration@simorg.example"}}


def test_missing_parent_is_null(people: Org) -> None:
    assert select(people, "SELECT Account.Name, ReportsTo.Name FROM Contact WHERE LastName = '_A'") == [
        {"Account": None, "ReportsTo": None}
    ]


def test_count_counts(people: Org) -> None:
    assert people.query("SELECT COUNT() FROM Contact WHERE Account.Name = 'Acme'").total == 2
    assert people.query("select count() from Contact limit 3").total == 3
    with refused("MALFORMED_QUERY"):
        people.query("SELECT COUNT() FROM Contact ORDER BY Name")


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("LastName", ["_A", "Ng", "oz", "Ün"]),
        ("LastName DESC", ["Ün", "oz", "Ng", "_A"]),
        ("Email, LastName", ["_A", "Ün", "Ng", "oz"]),
        ("Email NULLS LAST, LastName", ["Ng", "oz", "_A", "Ün"]),
        ("Email DESC NULLS FIRST, LastName", ["_A", "Ün", "oz", "Ng"]),
        ("Email DESC NULLS LAST, LastName DESC", ["oz", "Ng", "Ün", "_A"]),
        ("Account.Name, LastName", ["_A", "Ng", "oz", "Ün"]),
        ("LastName LIMIT 2 OFFSET 1", ["Ng", "oz"]),
        ("LastName LIMIT 0", []),
        ("SystemModstamp, Id", ["Ng", "oz", "Ün", "_A"]),
    ],
)
def test_order_by(people: Org, order: str, found: list[str]) -> None:
    assert names(people, f"SELECT LastName FROM Contact ORDER BY {order}") == found


def test_nulls_under_desc_follow_the_orgs_option() -> None:
    for nulls_last, found in ((False, [None, "1"]), (True, ["1", None])):
        org = Org(Schema.standard(DEMO), options=Options(nulls_last_on_desc=nulls_last))
        create(org, "Account", Name="A", Phone="1")
        create(org, "Account", Name="B")
        assert names(org, "SELECT Phone FROM Account ORDER BY Phone DESC") == found


def test_nothing_but_order_by_gives_an_order(people: Org) -> None:
    assert names(people, "SELECT LastName FROM Contact") == ["_A", "Ün", "oz", "Ng"]
    assert names(people, "SELECT LastName FROM Contact WHERE Email != null ORDER BY SystemModstamp") == ["oz", "Ng"]


def test_deleted_rows_are_for_query_all_alone(people: Org) -> None:
    [row] = select(people, "SELECT Id FROM Contact WHERE LastName = 'Ng'")
    delete(people, "Contact", row["Id"])
    for condition in ("Email = 'ng@x.de'", f"Id = '{row['Id']}'", "SystemModstamp = TODAY AND Name = 'Ng'"):
        soql = f"SELECT LastName, IsDeleted FROM Contact WHERE {condition}"
        assert select(people, soql) == []
        assert select(people, soql, include_deleted=True) == [{"LastName": "Ng", "IsDeleted": True}]


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        (
            "SELECT Foo FROM Contact",
            "INVALID_FIELD",
            "\nERROR at Row:1:Column:8\nNo such column 'Foo' on entity 'Contact'",
        ),
        ("SELECT Account.Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'"),
        ("SELECT Boss.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Boss' in field path"),
        ("SELECT Account FROM Contact", "INVALID_FIELD", "No such column 'Account'"),
        ("SELECT Id, id FROM Contact", "INVALID_FIELD", "duplicate field selected: id"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        ("SELECT Id FROM Contact WHERE Foo = 1", "INVALID_FIELD", "No such column 'Foo'"),
        ("SELECT Id FROM Contact ORDER BY Foo", "INVALID_FIELD", "No such column 'Foo'"),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD", "'Description' can not be filtered"),
        ("SELECT Id FROM Contact WHERE MailingAddress = null", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Contact ORDER BY Description", "INVALID_FIELD", "'Description' can not be sorted"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD", "must be of type string and should be enclosed"),
        ("SELECT Id FROM Contact WHERE LastName = TODAY", "INVALID_FIELD", "must be of type string"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2026-11-20T10:00:00Z'", "INVALID_FIELD", "of type dateTime and"),
        ("SELECT Id FROM Contact WHERE CreatedDate > 2026-11-20", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE CreatedDate > NEXT_TUESDAY", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE Birthdate = 2026-02-30", "INVALID_FIELD", "must be of type date and"),
        ("SELECT Id FROM Contact WHERE Birthdate = 2026-11-20T10:00:00Z", "INVALID_FIELD", "must be of type date and"),
        ("SELECT Id FROM Contact WHERE HasOptedOutOfEmail = 'true'", "INVALID_FIELD", "must be of type boolean"),
        ("SELECT Id FROM Contact WHERE HasOptedOutOfEmail > false", "INVALID_QUERY_FILTER_OPERATOR", "boolean field"),
        ("SELECT Id FROM Contact WHERE Email > null", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator"),
        ("SELECT Id FROM Contact WHERE AccountId LIKE '001%'", "INVALID_QUERY_FILTER_OPERATOR", "reference field"),
        ("SELECT Id FROM Contact WHERE LastName INCLUDES ('a')", "INVALID_QUERY_FILTER_OPERATOR", "string field"),
        ("SELECT Id FROM Contact WHERE a = 1 AND b = 2 OR c = 3", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Contact WHERE a = 1 AND NOT b = 2", "MALFORMED_QUERY", "unexpected token: 'b'"),
        ('SELECT Id FROM Contact WHERE LastName = "x"', "MALFORMED_QUERY", "unexpected token: '\"'"),
        ("SELECT Id FROM Contact WHERE LastName = 'x", "MALFORMED_QUERY", "unexpected token"),
        (r"SELECT Id FROM Contact WHERE LastName = '\q'", "MALFORMED_QUERY", "invalid escape sequence"),
        ("SELECT Id FROM Contact WHERE Email IN ()", "MALFORMED_QUERY", "unexpected token: ')'"),
        ("SELECT FROM Contact", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT * FROM Contact", "MALFORMED_QUERY", "unexpected token: '*'"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "<EOF>"),
        ("SELECT Id FROM Contact LIMIT -1", "MALFORMED_QUERY", "unexpected token"),
        ("DELETE FROM Contact", "MALFORMED_QUERY", "unexpected token: 'DELETE'"),
        ("SELECT Id FROM Contact;", "MALFORMED_QUERY", "unexpected token: ';'"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        (f"SELECT Id FROM Contact WHERE LastName = '{'x' * 4001}'", "MALFORMED_QUERY", "4000"),
        (f"SELECT Id FROM Contact{' ' * 100_000}", "MALFORMED_QUERY", "100000"),
    ],
)
def test_statement_is_refused(people: Org, soql: str, code: str, message: str) -> None:
    with refused(code, message):
        people.query(soql)


def test_refused_filter_is_told_even_when_an_index_answers_the_rest(people: Org) -> None:
    with refused("INVALID_FIELD", "No such column 'Foo'"):
        people.query("SELECT Id FROM Contact WHERE Email = 'ng@x.de' AND Foo = 1")


def test_selective_filters_never_scan(people: Org, monkeypatch: pytest.MonkeyPatch) -> None:
    table = people.store.table("Contact")
    [row] = select(people, "SELECT Id, AccountId FROM Contact WHERE Email = 'ng@x.de'")
    monkeypatch.setattr(table, "all", lambda: pytest.fail("scanned"))
    for condition in (
        f"Id IN ('{row['Id']}') AND LastName LIKE 'N%'",
        "Email IN ('ng@x.de')",
        f"AccountId = '{row['AccountId']}' AND Email = 'ng@x.de'",
        "SystemModstamp >= 2026-11-20T10:00:00Z AND Email != null AND LastName < 'o'",
    ):
        assert where(people, condition) == {"Ng"}
