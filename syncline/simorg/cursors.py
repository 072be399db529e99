"""Query locators: where a client left off in an answer of several pages.

A cursor keeps the rows as they were when the query ran, and lives for two days.
Rules: "Query" in the REST API Developer Guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from syncline.simorg.errors import SalesforceError
from syncline.simorg.ids import sequence
from syncline.simorg.soql.evaluate import Answer

MAX_PAGE = 2_000
MIN_PAGE = 200
_LIFETIME = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class _Cursor:
    answer: Answer
    user_id: str
    page_size: int
    expires: datetime


class Cursors:
    """`page_size` is the most rows that this org puts on a page; a client may ask for fewer."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size
        self._ids: Iterator[str] = sequence("01g")
        self._open: dict[str, _Cursor] = {}

    def first_page(
        self, answer: Answer, user_id: str, batch_size: int | None, base: str, now: datetime
    ) -> dict[str, Any]:
        """`batch_size` is the client's wish (Sforce-Query-Options), kept between 200 and 2,000."""
        size = self._page_size
        if batch_size is not None:
            size = min(size, max(MIN_PAGE, batch_size))
        cursor = _Cursor(answer, user_id, size, now + _LIFETIME)
        if answer.total <= size:
            return self._page(cursor, "", 0, base)
        self._open = {name: kept for name, kept in self._open.items() if kept.expires > now}
        cursor_id = next(self._ids)
        self._open[cursor_id] = cursor
        return self._page(cursor, cursor_id, 0, base)

    def next_page(self, locator: str, user_id: str, base: str, now: datetime) -> dict[str, Any]:
        """`locator` is `<cursor id>-<offset>`. Raises INVALID_QUERY_LOCATOR for a dead, foreign or malformed one."""
        cursor_id, _, offset = locator.partition("-")
        cursor = self._open.get(cursor_id)
        if (
            cursor is None
            or cursor.expires <= now
            or cursor.user_id != user_id
            or not offset.isdigit()
            or int(offset) >= cursor.answer.total
        ):
            raise SalesforceError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(cursor, cursor_id, int(offset), base)

    @staticmethod
    def _page(cursor: _Cursor, cursor_id: str, offset: int, base: str) -> dict[str, Any]:
        answer, end = cursor.answer, offset + cursor.page_size
        render = answer.render
        records = [] if render is None else [render(row, base) for row in answer.rows[offset:end]]
        page: dict[str, Any] = {"totalSize": answer.total, "done": render is None or end >= answer.total}
        if not page["done"]:
            page["nextRecordsUrl"] = f"{base}/query/{cursor_id}-{end}"
        page["records"] = records
        return page
