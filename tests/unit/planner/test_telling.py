"""What a plan and the difference of two mappings look like: to people, to machines, and in a file."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.planner import files
from services.planner.difference import Difference, differences
from services.planner.entry import Entry, Field
from services.planner.files import COLUMNS, fits, rows, save
from services.planner.ledger import Ledger
from services.planner.store import Scratch
from services.planner.telling import shown, streamed
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Ref, Value

ACCOUNT, COMPANY = Ref("salesforce", "Account", "001"), Ref("hub", "company", "c-1")


def entry(new: Value = "2", *, record: Ref = ACCOUNT, old: Value = None, pipeline: str = "accounts") -> Entry:
    field = Field("phone", old, new, "changed", 'at the source: Phone was "1"')
    return Entry(pipeline, record, COMPANY, "update", (field,))


def several(number: int) -> Ref:
    return Ref("salesforce", "Account", f"{number:03}")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    made = Scratch(tmp_path / "scratch")
    yield made
    made.close()


def ledger(scratch: Scratch, name: str, *entries: Entry) -> Ledger:
    made = Ledger(scratch, name)
    for each in entries:
        made.add(each)
    return made


def test_a_ledger_keeps_what_a_record_does_together_and_in_order(scratch: Scratch) -> None:
    first, second, other = entry("2"), entry("3", old="2"), entry(record=several(0))
    kept = ledger(scratch, "one", first, other, second)
    assert list(kept) == [other, first, second]
    assert [group for _, group in kept.groups()] == [[other], [first, second]]
    assert list(Ledger(scratch, "another")) == []


def test_a_difference_is_what_only_one_of_two_mappings_writes_or_writes_otherwise(scratch: Scratch) -> None:
    same, added, dropped = entry(record=several(1)), entry(record=several(2)), entry(record=several(3))
    new = ledger(scratch, "new", same, added, entry("new", record=several(4)))
    renamed = entry(record=several(1), pipeline="called otherwise")
    present = ledger(scratch, "present", renamed, dropped, entry("present", record=several(4)))
    found = list(differences(new.groups(), present.groups()))
    assert [(each.kind, (each.new or each.present)[0].record.id) for each in found] == [
        ("added", "002"),
        ("dropped", "003"),
        ("changed", "004"),
    ]
    assert list(differences(new.groups(), new.groups())) == []


def test_people_read_old_and_new_value_and_why() -> None:
    told = [each.plain for each in shown(entry(old="1"))]
    assert told[0] == "update hub/company/c-1 from salesforce/Account/001 by accounts"
    assert told[1] == '  phone  "1" -> "2"  changed: at the source: Phone was "1"'
    changed = [each.plain for each in shown(Difference([entry()], [entry("3")]))]
    assert "(otherwise than by the present mapping)" in changed[0]
    assert "(instead of)" in changed[3]


def test_what_somebody_typed_cannot_steer_the_terminal() -> None:
    told = "".join(each.plain for each in shown(entry("\x1b[2Jgone")))
    assert "\x1b" not in told
    assert "gone" in told


@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_json_object_comes_piece_by_piece(count: int) -> None:
    text = "".join(streamed({"at": "now"}, "writes", (entry(str(n)).document() for n in range(count))))
    document = json.loads(text)
    assert document["at"] == "now"
    assert [each["fields"][0]["new"] for each in document["writes"]] == [str(n) for n in range(count)]


VALUES: list[Value] = ["text, with a comma\nand a line", "", None, True, 1.5]
WANTED = ["text, with a comma\nand a line", "", None, "true", "1.5"]


def test_a_csv_file_has_a_row_for_each_field(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    assert save(path, (entry(value) for value in VALUES)) == len(VALUES)
    with path.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [each["new"] for each in read] == [value or "" for value in WANTED]
    assert tuple(read[0]) == COLUMNS
    assert (read[0]["record"], read[0]["why"], read[0]["mapping"]) == ("salesforce/Account/001", "changed", "")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.csv"]


def test_a_parquet_file_tells_null_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(files, "AT_ONCE", 2)
    path = tmp_path / "plan.parquet"
    assert save(path, (entry(value) for value in VALUES)) == len(VALUES)
    with parquet.ParquetFile(path) as file:
        assert file.num_row_groups == 3
        table = file.read()
    assert table.column_names == list(COLUMNS)
    assert table.column("new").to_pylist() == WANTED


def test_a_difference_says_in_each_row_which_mapping_writes_it() -> None:
    told = list(rows([Difference([entry("2")], [entry("3")])]))
    assert [row[:2] for row in told] == [("new", "changed"), ("present", "changed")]
    assert [row[COLUMNS.index("new")] for row in told] == ["2", "3"]


def test_a_file_that_could_not_be_written_is_refused_before_anything_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name, why in (("plan.txt", ".csv or .parquet"), ("no/plan.csv", "no such folder")):
        with pytest.raises(Fatal, match=why):
            fits(tmp_path / name)
    with pytest.raises(Fatal, match=r"pip install 'syncline\[parquet\]'"):
        fits(tmp_path / "plan.parquet")
    fits(tmp_path / "plan.csv")


def test_a_file_that_broke_off_has_not_its_name(tmp_path: Path) -> None:
    def broken() -> Iterator[Entry]:
        yield entry()
        raise Fatal("Kafka is gone")

    with pytest.raises(Fatal):
        save(tmp_path / "plan.csv", broken())
    assert list(tmp_path.iterdir()) == []
