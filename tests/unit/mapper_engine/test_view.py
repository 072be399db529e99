"""The overlay that a hop works on equals a dict that is written to at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from services.mapper.engine import View

TABLES = ("one", "two")
KEYS = st.binary(max_size=3).map(lambda key: bytes(byte % 3 for byte in key))  # few, so that they meet
Model = dict[str, dict[bytes, bytes]]


class Stored:
    """Tables as plain dicts."""

    def __init__(self, tables: Mapping[str, Mapping[bytes, bytes]]) -> None:
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._tables[table].get(key)

    def scan(self, table: str, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return sorted((key, value) for key, value in self._tables[table].items() if key.startswith(prefix))


rows = st.dictionaries(KEYS, st.binary(max_size=2), max_size=12)
tables = st.fixed_dictionaries(dict.fromkeys(TABLES, rows))
changes = st.lists(
    st.tuples(st.sampled_from(TABLES), KEYS, st.none() | st.binary(max_size=2), st.booleans()), max_size=30
)


def change(view: View, model: Model, table: str, key: bytes, value: bytes | None) -> None:
    if value is None:
        view.delete(table, key)
        model[table].pop(key, None)
    else:
        view.put(table, key, value)
        model[table][key] = value


@given(tables, changes, KEYS)
def test_reads_see_what_was_written(
    stored: Model, steps: list[tuple[str, bytes, bytes | None, bool]], key: bytes
) -> None:
    view, model = View(Stored(stored)), {table: dict(rows) for table, rows in stored.items()}
    for table, changed, value, scan_now in steps:
        change(view, model, table, changed, value)
        for each in TABLES:
            assert view.get(each, changed) == model[each].get(changed)
        if scan_now:  # the first scan of a table changes how the view keeps its keys
            assert list(view.scan(table, key)) == list(Stored(model).scan(table, key))
    for table in TABLES:
        for prefix in (b"", key):
            assert list(view.scan(table, prefix)) == list(Stored(model).scan(table, prefix))


@given(tables, changes)
def test_changes_make_the_stored_tables_what_was_read(
    stored: Model, steps: list[tuple[str, bytes, bytes | None, bool]]
) -> None:
    view, model = View(Stored(stored)), {table: dict(rows) for table, rows in stored.items()}
    for table, key, value, _ in steps:
        change(view, model, table, key, value)
    for table, changed in view.changes.items():
        for key, value in changed.items():
            if value is None:
                stored[table].pop(key, None)
            else:
                stored[table][key] = value
    assert stored == model


@given(tables, changes, changes)
def test_a_scan_is_of_the_moment_of_the_call(
    stored: Model,
    before: list[tuple[str, bytes, bytes | None, bool]],
    during: list[tuple[str, bytes, bytes | None, bool]],
) -> None:
    view, model = View(Stored(stored)), {table: dict(rows) for table, rows in stored.items()}
    for table, key, value, _ in before:
        change(view, model, table, key, value)
    expected = list(Stored(model).scan("one", b""))
    found = []
    scan = view.scan("one", b"")
    steps = iter(during)
    for row in scan:
        found.append(row)
        for table, key, value, _ in steps:
            change(view, model, table, key, value)
            break
        view.delete("one", row[0])
    assert found == expected


def test_several_changes_of_a_key_are_one() -> None:
    view = View(Stored({"one": {b"k": b"stored"}}))
    view.put("one", b"k", b"first")
    view.put("one", b"k", b"second")
    view.put("one", b"gone", b"x")
    view.delete("one", b"gone")
    assert view.changes == {"one": {b"k": b"second", b"gone": None}}
