"""Pages of a query's result. "Query" and "QueryAll" in the REST API Developer Guide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from syncline.contracts.errors import Fatal
from syncline.salesforce.protocol import Request

Record = dict[str, Any]

PAGE_SIZE = 2_000
"""Rows of a page that Salesforce gives by itself, and the most it gives."""


@dataclass(frozen=True, slots=True)
class Page:
    """total: rows of the whole result. locator: where the next page is, None on the last; good for two days."""

    records: list[Record] = field(repr=False)
    total: int
    locator: str | None


def query_request(soql: str, *, include_deleted: bool, page_size: int) -> Request:
    """page_size: 200 to 2,000, which Salesforce takes as advice."""
    headers = {} if page_size == PAGE_SIZE else {"Sforce-Query-Options": f"batchSize={page_size}"}
    return Request("GET", "/queryAll" if include_deleted else "/query", "query", query={"q": soql}, headers=headers)


def next_request(locator: str) -> Request:
    return Request("GET", locator, "query")


def read_page(content: Any) -> Page:
    """Raises Fatal when this is no page."""
    try:
        locator = content.get("nextRecordsUrl")
        return Page(content["records"], content["totalSize"], locator or None)
    except (TypeError, KeyError, AttributeError):
        raise Fatal("a query was answered without records: check that nothing between alters replies") from None


def unfinished(records: Iterable[Mapping[str, Any]]) -> Iterator[Record]:
    """The child sets of these records, at any depth, of which Salesforce sent only the first page."""
    for record in records:
        for value in record.values():
            if type(value) is not dict:
                continue
            if "records" not in value:
                yield from unfinished((value,))
                continue
            if value.get("nextRecordsUrl"):
                yield value
            yield from unfinished(value["records"])
