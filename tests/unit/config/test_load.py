"""What is wrong in pipelines.yaml is told in one go, each fault with its line; secrets stay out of what is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.config.load import load, parse
from syncline.config.model import PostgresSystem, SalesforceSystem
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.ref import Object
from tests.unit.config.world import GOOD, config, line, spoiled


def told(text: str, **environ: str) -> list[str]:
    with pytest.raises(Fatal) as caught:
        parse(text, name="p.yaml", environ=environ)
    assert "hush" not in str(caught.value)
    return str(caught.value).splitlines()


def test_a_right_file_is_read() -> None:
    read = config()
    assert read.sources == [Object("hub", "company"), Object("sf", "Account"), Object("sf", "Contact")]
    assert read.targets == ["hub", "sf"]
    assert read.reads(Object("sf", "Account")) == {"Name", "BillingCity", "ParentId", "Hub__c"}
    assert read.counterpart(Object("sf", "Account"), "hub") == "Hub__c"
    assert read.counterpart(Object("sf", "Contact"), "hub") is None


def test_secrets_do_not_show() -> None:
    assert "hush" not in repr(config())


def hub_url(value: str, **environ: str) -> str:
    text = spoiled(("postgresql://syncline:hush@db/hub", value))
    system = parse(text, name="p.yaml", environ=environ).systems["hub"]
    assert isinstance(system, PostgresSystem)
    return system.url.get_secret_value()


def test_variables_are_filled_in() -> None:
    assert hub_url("postgresql://${USER}@${HOST}/hub", USER="ada", HOST="db") == "postgresql://ada@db/hub"


@pytest.mark.parametrize(
    ("written", "environ", "read"),
    [
        ("${URL:-one}", {"URL": "two"}, "two"),
        ("${URL:-one}", {}, "one"),
        ("${URL:-one}", {"URL": ""}, "one"),
        ("x${URL:-}", {}, "x"),
        ("x${URL}", {"URL": ""}, "x"),
        ("$URL and {URL}", {"URL": "two"}, "$URL and {URL}"),
    ],
)
def test_a_default_stands_in_as_in_a_shell(written: str, environ: dict[str, str], read: str) -> None:
    assert hub_url(f'"{written}"', **environ) == read


def test_a_value_is_not_read_as_yaml_and_not_filled_again() -> None:
    assert hub_url("${URL}", URL="a: [b, ${OTHER}] # c") == "a: [b, ${OTHER}] # c"


def test_numbers_may_come_from_variables() -> None:
    text = spoiled(("    objects:\n      Account:", "    poll: {interval: '${SECONDS}'}\n    objects:\n      Account:"))
    system = parse(text, name="p.yaml", environ={"SECONDS": "7.5"}).systems["sf"]
    assert isinstance(system, SalesforceSystem)
    assert system.poll.interval == 7.5


def test_every_variable_that_is_missing_is_named_once() -> None:
    text = spoiled(("https://acme.my.salesforce.com", "${B}/${A}"), ("postgresql://syncline:hush@db/hub", "${A}"))
    assert told(text) == ["p.yaml: set the environment variables A, B"]


def test_all_faults_are_told_at_once_each_with_its_line() -> None:
    text = spoiled(
        ("client_secret: hush", "client_secret: hush, nope: 1"),
        ("kind: postgres", "kind: oracle"),
        ("from: sf.Contact", "from: Contact"),
        ("      last_name: LastName", "      last_name: {form: LastName}"),
    )
    faults = told(text)
    where = [line(text, words) for words in ("nope: 1", "  hub:", "from: Contact")]
    assert f"p.yaml:{where[0]}: systems.sf.salesforce.auth.client_credentials.nope: Extra inputs are not permitted" in (
        faults
    )
    assert f"p.yaml:{where[1]}: systems.hub: Input tag 'oracle' found using 'kind'" in "\n".join(faults)
    assert f"p.yaml:{where[2]}: pipelines.people.from: must be system.object, not 'Contact'" in faults
    assert f"p.yaml:{line(text, 'form:')}: pipelines.people.fields.last_name.form: Extra inputs are not permitted" in (
        faults
    )


def test_what_is_missing_is_told_with_the_line_of_what_lacks_it() -> None:
    text = spoiled(("    to: hub.person\n", ""))
    assert told(text) == [f"p.yaml:{line(text, '  people:')}: pipelines.people.to: Field required"]


def test_each_part_of_a_list_has_its_own_line() -> None:
    text = spoiled(("match: [[name]]", "match:\n      - [name]\n      - {name: x}"))
    (fault,) = told(text)
    assert fault.startswith(f"p.yaml:{line(text, '- {name: x}')}: pipelines.companies.match.1: ")


BETWEEN = [
    ("to: sf.Account", "to: crm.Account", "there is no system 'crm'"),
    ("to: hub.person", "to: hub.preson", "systems.hub has no object 'preson'"),
    ("to: sf.Account", "to: hub.company # itself", "source and target are the same system"),
    ("pipeline: companies", "pipeline: company", "there is no pipeline 'company'"),
    ("pipeline: companies", "pipeline: accounts", "accounts writes to another system"),
    (
        "references: {parent_id: ParentId}",
        "references: {parent_id: {from: ParentId, pipeline: accounts}}",
        "accounts writes to another system",
    ),
    ("match: [[name]]", "match: [[name, phone]]", "needs mapped fields, not name, phone"),
    ("match: [[name]]", "match: [[]]", "needs mapped fields, not none"),
    ("match: [[name]]", "conflict: sales", "cannot be 'sales', only hub, latest, review, sf"),
    ("name: Name", "name: {from: Name, conflict: x}", "cannot be 'x', only hub, latest, review, sf"),
]


@pytest.mark.parametrize(("old", "new", "what"), BETWEEN, ids=[what for *_, what in BETWEEN])
def test_what_does_not_fit_together_is_told_where_it_stands(old: str, new: str, what: str) -> None:
    text = GOOD.replace(old, new, 1)
    (fault,) = told(text)
    assert fault.startswith(f"p.yaml:{line(text, new)}: pipelines.")
    assert fault.endswith(f": {what}")


def test_parents_come_from_the_system_that_the_children_come_from() -> None:
    crm = "  crm: {kind: postgres, url: x, objects: {firm: {table: firms}}}\npipelines:"
    text = spoiled(("pipelines:", crm), ("from: sf.Account", "from: crm.firm"))
    assert told(text) == [
        f"p.yaml:{line(text, 'parent:')}: pipelines.people.parent.pipeline: companies reads from another system"
    ]


def test_all_that_does_not_fit_together_is_told_at_once() -> None:
    text = spoiled(("from: sf.Account", "from: crm.Account"), ("match: [[name]]", "match: [[fax]]"))
    text = text.replace("pipeline: companies", "pipeline: firms")
    assert [fault.split(": ")[1] for fault in told(text)] == [
        "pipelines.companies.from",
        "pipelines.companies.match.0",
        "pipelines.people.parent.pipeline",
    ]


def test_an_unknown_poll_setting_is_told_and_a_look_back_may_have_any_object() -> None:
    place = "    objects:\n      Account:"
    text = spoiled((place, "    poll:\n      intervall: 3\n      lead_poll_days: -1\n" + place))
    assert told(text) == [
        f"p.yaml:{line(text, 'intervall')}: systems.sf.salesforce.poll.intervall: "
        "unknown; objects' look-backs end in _poll_days",
        f"p.yaml:{line(text, 'lead_poll_days')}: systems.sf.salesforce.poll.lead_poll_days: must not be negative",
    ]
    system = config((place, "    poll: {lead_poll_days: 3}\n" + place)).systems["sf"]
    assert isinstance(system, SalesforceSystem)
    assert (system.poll_days("Lead"), system.poll_days("Account")) == (3, 7)


def test_an_objects_own_look_back_wins() -> None:
    place = "    objects:\n      Account: {"
    system = config((place, f"    poll: {{account_poll_days: 3}}\n{place}poll_days: 0, ")).systems["sf"]
    assert isinstance(system, SalesforceSystem)
    assert system.poll_days("Account") == 0


def test_a_client_has_exactly_one_secret() -> None:
    for given in ("", "client_secret_file: x, client_secret: hush"):
        (fault,) = told(spoiled(("client_secret: hush", given)))
        assert "exactly one" in fault


def test_a_field_has_one_origin() -> None:
    for origin in ("{}", "{from: Name, static: x}", "{from: Name, destination: true}"):
        (fault,) = told(spoiled(("      name: Name", f"      name: {origin}")))
        assert fault.endswith("a field has one of `from`, `static` and `destination: true`")
    assert (
        config(("      name: Name", "      name: {static: null}")).pipelines["companies"].fields["name"].sources == ()
    )


def test_a_key_that_is_there_twice_is_not_dropped_unseen() -> None:
    text = spoiled(("  accounts:\n", "  people:\n"))
    second = max(number for number, each in enumerate(text.splitlines(), 1) if each == "  people:")
    assert told(text) == [f"p.yaml:{second}: people is given twice"]


def test_a_merged_mapping_may_be_overridden() -> None:
    text = spoiled(
        ("billing: {table", "billing: &address {table"),
        ("columns: [city]}", "columns: [city]}\n          shipping: {<<: *address, where: {kind: shipping}}"),
    )
    hub = parse(text, name="p.yaml", environ={}).systems["hub"]
    assert isinstance(hub, PostgresSystem)
    embeds = hub.objects["company"].embed
    assert embeds["shipping"].columns == embeds["billing"].columns
    assert embeds["shipping"].where == {"kind": "shipping"}


def test_what_is_no_yaml_is_told_without_the_text_around_it() -> None:
    text = spoiled(("client_secret: hush", "client_secret: hush: x"))
    (fault,) = told(text)
    assert fault.startswith(f"p.yaml:{line(text, 'client_secret')}: not YAML: ")


def test_an_empty_file_is_told() -> None:
    (fault,) = told("# nothing yet\n")
    assert fault.startswith("p.yaml:1: the whole file: ")


def test_a_file_that_cannot_be_read_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"cannot read .*nowhere.yaml: No such file or directory; .*SYNCLINE_PIPELINES"):
        load(tmp_path / "nowhere.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Fatal, match=r"cannot read .*binary.yaml: it is not UTF-8 text"):
        load(tmp_path / "binary.yaml", {})


def test_a_file_is_read_with_the_environment_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(spoiled(("kind: postgres", "kind: postgres\n    instance: ${NAME}")))
    assert load(tmp_path / "p.yaml", {"NAME": "main"}).systems["hub"].instance == "main"


def test_a_variable_may_be_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://in-a-file\n")
    assert hub_url("${URL}", URL_FILE=str(secret)) == "postgresql://in-a-file"
    assert hub_url("${URL:-postgresql://default}", URL_FILE=str(secret)) == "postgresql://in-a-file"
    assert hub_url("${URL}", URL="postgresql://given", URL_FILE=str(secret)) == "postgresql://given"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"URL_FILE: cannot read .*none: No such file"):
        hub_url("${URL}", URL_FILE=str(tmp_path / "none"))


def test_a_url_that_a_file_has_a_part_in_is_made_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("old")
    text = spoiled(("postgresql://syncline:hush@db/hub", "postgresql://ada:${PASSWORD}@db/hub"))
    system = parse(text, name="p.yaml", environ={"PASSWORD_FILE": str(path)}).systems["hub"]
    assert isinstance(system, PostgresSystem)
    assert system.url.get_secret_value() == "postgresql://ada:old@db/hub"
    path.write_text("hush")
    assert system.url.get_secret_value() == "postgresql://ada:hush@db/hub"
    assert "hush" not in repr(system)
    path.unlink()
    with pytest.raises(Transient, match=r"PASSWORD_FILE: cannot read .*No such file"):
        system.url.get_secret_value()
