"""The proof of the demo sees every way in which two systems can differ."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.local.demo.compare import Comparison, compare
from tests.unit.config.world import config

ACCOUNT, CONTACT = Object("sf", "Account"), Object("sf", "Contact")
COMPANY, PERSON = Object("hub", "company"), Object("hub", "person")


def two_accounts() -> dict[Object, dict[str, Fields]]:
    """Of which the second is the first one's child; one Contact of the second."""
    return {
        ACCOUNT: {
            "001A": {"Name": "Acme", "BillingCity": "Bern", "ParentId": None},
            "001B": {"Name": "Beta", "BillingCity": None, "ParentId": "001A"},
        },
        COMPANY: {
            "c1": {"name": "Acme", "billing.city": "Bern", "parent_id": None},
            "c2": {"name": "Beta", "billing.city": None, "parent_id": "c1"},
        },
        CONTACT: {"003A": {"LastName": "Lovelace", "AccountId": "001B"}},
        PERSON: {"p1": {"last_name": "Lovelace", "company_id": "c2"}},
    }


@dataclass
class Both:
    """Two systems that are equal; each test changes one thing."""

    records: dict[Object, dict[str, Fields]] = field(default_factory=two_accounts)
    pairs: dict[tuple[Ref, Object], Ref] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for one, other in (("001A", "c1"), ("001B", "c2")):
            self.link(Ref(*ACCOUNT, one), Ref(*COMPANY, other))
        self.link(Ref(*CONTACT, "003A"), Ref(*PERSON, "p1"))

    def link(self, one: Ref, other: Ref) -> None:
        self.pairs |= {(one, other.kind): other, (other, one.kind): one}

    def unlink(self, one: Ref, other: Ref) -> None:
        del self.pairs[one, other.kind], self.pairs[other, one.kind]

    def set(self, kind: Object, id: str, **values: Value) -> None:
        self.records[kind][id] |= values

    def compare(self) -> Comparison:
        return compare(config(), self.records, self.pairs, self.skipped)


def test_equal_systems_are_equal() -> None:
    assert Both().compare() == Comparison(compared=5, fields=3 * 2 + 2 + 2 * 2)
    assert Both().compare().equal


def test_a_differing_field_is_told_from_each_pipeline_that_maps_it() -> None:
    both = Both()
    both.set(COMPANY, "c1", name="Acme Ltd")
    found = both.compare()
    assert found.differing == [
        "companies: sf/Account/001A.name is 'Acme', hub/company/c1 has 'Acme Ltd'",
        "accounts: hub/company/c1.Name is 'Acme Ltd', sf/Account/001A has 'Acme'",
    ]
    assert not found.equal


def test_what_is_filled_on_one_side_only_differs() -> None:
    both = Both()
    both.set(ACCOUNT, "001B", BillingCity="Oslo")
    assert len(both.compare().differing) == 2


def test_blank_text_is_empty_and_spaces_around_do_not_count() -> None:
    both = Both()
    both.set(COMPANY, "c2", **{"name": " Beta ", "billing.city": "  "})
    assert both.compare().equal
    both.set(COMPANY, "c2", name="beta")
    assert not both.compare().equal


def test_values_are_compared_as_the_mapping_transforms_them() -> None:
    mapped = config(("name: Name", "name: {from: Name, transform: [lower]}"), ("      Name: name\n", ""))
    both = Both()
    both.set(COMPANY, "c1", name="ACME")
    assert compare(mapped, both.records, both.pairs, ()).equal


def test_a_missing_pair_is_told_from_both_sides() -> None:
    both = Both()
    both.unlink(Ref(*ACCOUNT, "001A"), Ref(*COMPANY, "c1"))
    assert both.compare().unaccounted == [
        "sf/Account/001A has no company and no reason for it",
        "hub/company/c1 has no Account and no reason for it",
    ]


def test_a_record_that_was_left_out_for_a_reason_needs_no_pair() -> None:
    both = Both()
    both.records[CONTACT]["003B"] = {"LastName": "Orphan", "AccountId": None}
    assert not both.compare().equal
    both.skipped = {"sf/Contact/003B"}
    found = both.compare()
    assert (found.equal, found.skipped) == (True, 1)


def test_a_skipped_record_that_has_a_pair_is_compared_all_the_same() -> None:
    both = Both(skipped={"sf/Contact/003A"})
    both.set(PERSON, "p1", last_name="Byron")
    found = both.compare()
    assert (found.skipped, len(found.differing)) == (0, 1)


def test_a_counterpart_that_is_not_there() -> None:
    both = Both()
    del both.records[PERSON]["p1"]
    assert both.compare().unaccounted == ["sf/Contact/003A is linked to hub/person/p1, which is not there"]


def test_a_doubled_pair() -> None:
    both = Both()
    both.records[ACCOUNT]["001C"] = dict(both.records[ACCOUNT]["001A"])
    both.pairs[Ref(*ACCOUNT, "001C"), COMPANY] = Ref(*COMPANY, "c1")
    assert both.compare().unaccounted == ["hub/company/c1 is the company of both sf/Account/001C and sf/Account/001A"]


def test_a_record_of_its_own_that_nobody_knows() -> None:
    both = Both()
    both.records[COMPANY]["c3"] = dict(both.records[COMPANY]["c1"])
    assert both.compare().unaccounted == ["hub/company/c3 has no Account and no reason for it"]


def test_a_child_below_the_wrong_parent() -> None:
    both = Both()
    both.set(PERSON, "p1", company_id="c1")
    assert both.compare().differing == ["people: sf/Contact/003A.company_id is 'c2', hub/person/p1 has 'c1'"]
    both.set(PERSON, "p1", company_id=None)
    assert both.compare().differing == ["people: sf/Contact/003A.company_id is 'c2', hub/person/p1 has None"]


def test_a_reference_to_the_wrong_record() -> None:
    both = Both()
    both.set(COMPANY, "c2", parent_id="c2")
    assert both.compare().differing == ["companies: sf/Account/001B.parent_id is 'c1', hub/company/c2 has 'c2'"]
    both.set(COMPANY, "c2", parent_id="c1")
    both.set(COMPANY, "c1", parent_id="c2")
    assert both.compare().differing == ["companies: sf/Account/001A.parent_id is None, hub/company/c1 has 'c2'"]


def test_what_is_static_is_nobodys_value() -> None:
    mapped = config(("      last_name: LastName", "      last_name: {static: x}"))
    both = Both()
    assert compare(mapped, both.records, both.pairs, ()).equal
