"""Included files, tables beside them and values from the environment; what is wrong names the right file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncline.config.load import load
from syncline.config.model import Config
from syncline.contracts.errors import Fatal
from tests.unit.config.world import GOOD, line

SYSTEMS, PIPELINES = GOOD[: GOOD.index("pipelines:")], GOOD[GOOD.index("pipelines:") :]
PEOPLE = PIPELINES.index("  people:")


def put(folder: Path, **files: str) -> Path:
    """`main` is read first; a double underscore in a name is a folder."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + (".yaml" if "." not in name else ""))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "main.yaml"


def read(path: Path, **environ: str) -> Config:
    return load(path, environ)


def told(path: Path, **environ: str) -> list[str]:
    with pytest.raises(Fatal) as caught:
        load(path, environ)
    assert "hush" not in str(caught.value)
    return [each.replace(f"{path.parent}/", "") for each in str(caught.value).splitlines()]


def test_files_are_included_from_beside_the_file_that_names_them(tmp_path: Path) -> None:
    main = put(
        tmp_path,
        main="include: [systems.yaml, parts/all.yaml]\n",
        systems=SYSTEMS,
        parts__all="include: more.yaml\n" + PIPELINES[:PEOPLE],
        parts__more="pipelines:\n" + PIPELINES[PEOPLE:],
    )
    (tmp_path / "whole.yaml").write_text(GOOD)
    assert read(main).model_dump() == read(tmp_path / "whole.yaml").model_dump()


def test_a_file_that_two_include_is_read_once(tmp_path: Path) -> None:
    main = put(
        tmp_path, main="include: [a.yaml, systems.yaml]\n", a="include: systems.yaml\n" + PIPELINES, systems=SYSTEMS
    )
    assert len(read(main).systems) == 2


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    main = put(tmp_path, main="include: a.yaml\n" + GOOD, a="\ninclude: main.yaml\n")
    assert told(main) == ["a.yaml:2: include: main.yaml includes itself in the end"]


def test_what_is_wrong_is_told_where_it_is_written(tmp_path: Path) -> None:
    main = put(
        tmp_path,
        main="# the whole\ninclude: [systems.yaml, pipelines.yaml]\n",
        systems=SYSTEMS.replace("kind: postgres", "kind: postgres\n    poll_interval: -1"),
        pipelines=PIPELINES.replace("from: sf.Contact", "from: Contact"),
    )
    assert told(main) == [
        f"systems.yaml:{line(SYSTEMS, 'kind: postgres') + 1}: systems.hub.postgres.poll_interval: "
        "Input should be greater than 0",
        f"pipelines.yaml:{line(PIPELINES, 'sf.Contact')}: pipelines.people.from: must be system.object, not 'Contact'",
    ]


@pytest.mark.parametrize(
    ("included", "fault"),
    [
        ("pipelines:\n  people: {}\n", "part.yaml:2: pipelines.people is in main.yaml:{people} already"),
        ("a: 1\na: 2\n", "part.yaml:2: a is given twice"),
        ("extra: 1\n", "part.yaml:1: holds `systems`, `pipelines` and `include`, nothing else"),
        ("pipelines: 3\n", "part.yaml:1: pipelines: must be a mapping"),
        ("a: b: c\n", "part.yaml:1: not YAML: mapping values are not allowed here"),
        ("include: gone.yaml\n", "part.yaml:1: include: cannot read gone.yaml: No such file or directory"),
        ("include: {a: b}\n", "part.yaml:1: include: must be names of files"),
    ],
)
def test_a_part_that_cannot_be_taken_is_named(tmp_path: Path, included: str, fault: str) -> None:
    main = put(tmp_path, main=GOOD + "include: part.yaml\n", part=included)
    assert told(main)[0] == fault.format(people=line(GOOD, "  people:"))


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("PIPELINES__COMPANIES__DELETE_LIMIT", "5", ("pipelines", "companies", "delete_limit", 5)),
        ("PIPELINES__COMPANIES__MATCH", "[[name], [billing.city]]", ("pipelines", "companies", "match", 1, 0)),
        ("PIPELINES__COMPANIES__FIELDS__BILLING_CITY", "Town", ("pipelines", "companies", "fields", "billing.city")),
        ("PIPELINES__ACCOUNTS__FIELDS__BILLINGCITY", "Town", ("pipelines", "accounts", "fields", "BillingCity")),
        ("SYSTEMS__SF__POLL__INTERVAL", "7", ("systems", "sf", "poll", "interval", 7.0)),
        ("SYSTEMS__SF__POLL__LEAD_POLL_DAYS", "7", ("systems", "sf", "poll", "lead_poll_days", 7.0)),
        ("SYSTEMS__SF__OBJECTS__ACCOUNT__COUNTERPART__HUB", "X__c", ("systems", "sf", "objects", "Account")),
        ("PIPELINES__COMPANIES__MATCH__0__0", "billing.city", ("pipelines", "companies", "match", 0, 0)),
        ("SYSTEMS__HUB__INSTANCE", "${NAME}", ("systems", "hub", "instance", "main")),
    ],
)
def test_single_values_come_from_the_environment(
    tmp_path: Path, variable: str, value: str, found: tuple[Any, ...]
) -> None:
    main = put(tmp_path, main=GOOD)
    config = load(main, {f"SYNCLINE__{variable}": value, "NAME": "main", "SYNCLINE_PIPELINES": "x"})
    before, after = (each.model_dump(by_alias=True, mode="json") for each in (read(main), config))
    assert before != after
    node: Any = after
    for part in found[:-1]:
        node = node[part]
    last = found[-1]
    assert node == last or (isinstance(node, dict | list) and last in (node if isinstance(node, dict) else range(9)))


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("PIPELINES__COMPANY__DELETE_LIMIT", "5", "means nothing in pipelines.yaml: say systems or pipelines"),
        ("PIPELINE__COMPANIES__DELETE_LIMIT", "5", "means nothing in pipelines.yaml"),
        ("PIPELINES__COMPANIES", "5", "pipelines.companies: Input should be a valid dictionary"),
        ("PIPELINES__COMPANIES__DELETE_LIMIT", "-1", "greater than or equal to 0"),
        ("PIPELINES__COMPANIES__DELET_LIMIT", "1", "pipelines.companies.delet_limit: Extra inputs are not permitted"),
        ("PIPELINES__COMPANIES__FIELDS__NAME__ON_EMPTY", "clear", "means nothing in pipelines.yaml"),
        ("PIPELINES__COMPANIES__DELETE_LIMIT", "{hush: 1}", "sets single values and lists, not mappings"),
        ("PIPELINES__COMPANIES__DELETE_LIMIT", "[hush", "its value is not YAML"),
    ],
)
def test_a_variable_that_cannot_be_taken_is_named_without_its_value(
    tmp_path: Path, variable: str, value: str, what: str
) -> None:
    main = put(tmp_path, main=GOOD)
    (fault,) = told(main, **{f"SYNCLINE__{variable}": value})
    assert fault.startswith(f"SYNCLINE__{variable}: ")
    assert what in fault


def test_a_variable_that_may_mean_two_places_is_refused(tmp_path: Path) -> None:
    twice = GOOD.replace("      billing.city: BillingCity", "      billing.city: BillingCity\n      billing_city: X")
    (fault,) = told(put(tmp_path, main=twice), SYNCLINE__PIPELINES__COMPANIES__FIELDS__BILLING_CITY="Y")
    assert fault.endswith(
        "may mean pipelines.companies.fields.billing.city or pipelines.companies.fields.billing_city: "
        "change it in the file"
    )


LOOKED_UP = GOOD.replace("      name: Name", "      name: {from: Name, transform: [{lookup: {file: names.csv}}]}")


def test_a_table_is_read_from_beside_the_file_that_names_it(tmp_path: Path) -> None:
    main = put(
        tmp_path,
        main="include: parts/all.yaml\n",
        parts__all=LOOKED_UP,
        **{"parts__names.csv": '\ufeffkey,value\n1,"One, two"\n\nno,Norway\n'},
    )
    (step,) = read(main).pipelines["companies"].fields["name"].transform
    assert step.lookup.values == {"1": "One, two", "no": "Norway"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("k,v\na,1\na,2\n", "names.csv:3: 'a' is listed twice"),
        ("k,v\na,1,x\n", "names.csv:2: has 3 columns instead of two"),
        ("k,v\n", "names.csv: lists nothing below its line of headings"),
        ('k,v\na,"1\n', "names.csv:2: not CSV: unexpected end of data"),
        (None, "cannot read names.csv: No such file or directory"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_with_both_places(tmp_path: Path, table: str | None, fault: str) -> None:
    main = put(tmp_path, main=LOOKED_UP, **({"names.csv": table} if table else {}))
    place = "pipelines.companies.fields.name.transform.0.lookup"
    assert told(main) == [f"main.yaml:{line(LOOKED_UP, 'names.csv')}: {place}: {fault}"]


def test_a_table_of_a_file_does_not_travel_in_commands(tmp_path: Path) -> None:
    text = LOOKED_UP.replace("{from: Name, transform", "{destination: true, transform").replace(
        "    match: [[name]]\n", ""
    )
    (fault,) = told(put(tmp_path, main=text, **{"names.csv": "k,v\na,b\n"}))
    assert "give `values`" in fault
