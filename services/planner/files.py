"""A plan as a table in a file, a row for each field: written as it comes, so that memory does not grow with it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from services.planner.difference import Difference
from services.planner.entry import Entry
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Value

COLUMNS = ("mapping", "difference", "record", "target", "pipeline", "op", "field", "old", "new", "why", "detail")
AT_ONCE = 10_000
"""Rows of one group of a Parquet file."""

Row = tuple[str | None, ...]
Put = Callable[[Iterable[Row]], None]


def rows(told: Iterable[Entry | Difference]) -> Iterator[Row]:
    """`mapping` is `new` or `present`, and like `difference` only filled when two are compared."""
    for each in told:
        if isinstance(each, Entry):
            yield from _rows(each, None, None)
        else:
            for mapping, entries in (("new", each.new), ("present", each.present)):
                for entry in entries:
                    yield from _rows(entry, mapping, each.kind)


def _rows(entry: Entry, mapping: str | None, difference: str | None) -> Iterator[Row]:
    same = (mapping, difference, str(entry.record), str(entry.target), entry.pipeline, entry.op)
    for each in entry.fields:
        yield (*same, each.name, _text(each.old), _text(each.new), each.why, each.detail)
    if not entry.fields:
        yield (*same, None, None, None, None, None)


def _text(value: Value) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def fits(path: Path) -> None:
    """Raises Fatal, before anything is planned, for a file that could not be written."""
    if path.suffix not in (".csv", ".parquet"):
        raise Fatal(f"{path}: the name must end in .csv or .parquet, for that says what is written")
    if path.suffix == ".parquet":
        _parquet()
    if not path.absolute().parent.is_dir():
        raise Fatal(f"{path}: there is no such folder")


def save(path: Path, told: Iterable[Entry | Difference]) -> int:
    """How many rows were written. The file has its name only when it is whole. Raises Fatal."""
    part, left, total = path.with_name(f"{path.name}.part"), rows(told), 0
    try:
        with (_csv if path.suffix == ".csv" else _parquet_file)(part) as put:
            while some := list(islice(left, AT_ONCE)):
                put(some)
                total += len(some)
        part.replace(path)
    except OSError as error:
        raise Fatal(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return total


@contextmanager
def _csv(path: Path) -> Iterator[Put]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        yield writer.writerows


@contextmanager
def _parquet_file(path: Path) -> Iterator[Put]:
    arrow, parquet = _parquet()
    schema = arrow.schema([(name, arrow.string()) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda some: writer.write_batch(
            arrow.record_batch([arrow.array(column, arrow.string()) for column in zip(*some, strict=True)], schema)
        )


def _parquet() -> tuple[Any, Any]:
    """Raises Fatal."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Fatal(
            "Parquet needs a package that is not there: pip install 'syncline[parquet]', or write .csv"
        ) from None
    return pyarrow, pyarrow.parquet
