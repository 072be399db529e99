"""One record at a time: "sObject Basic Information", "sObject Rows", "sObject Rows by External ID", "Get Updated" and
"Get Deleted" in the REST API Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from syncline.simorg import errors, replication
from syncline.simorg.api.call import Call
from syncline.simorg.dml import Saved
from syncline.simorg.drafts import key_field, key_value, read_draft, sobject_named
from syncline.simorg.errors import SalesforceError, SeveralMatches
from syncline.simorg.metadata import SObject
from syncline.simorg.records import read_record, record_id, selection
from syncline.simorg.store import Record, Table
from syncline.simorg.times import parse_datetime


async def information(call: Call) -> web.Response:
    sobject = _sobject(call)
    return call.reply({"objectDescribe": sobject.summary(call.base), "recentItems": []})


async def create(call: Call) -> web.Response:
    if call.method != "POST":
        raise SalesforceError(
            405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are GET,HEAD,POST"
        )
    sobject = _sobject(call)
    draft = read_draft(call.org.schema, sobject, await call.json(), without="Id")
    return _created(call, sobject, call.org.dml.create(draft, call.change()))


async def read(call: Call) -> web.Response:
    sobject = _sobject(call)
    return _show(call, sobject, call.org.dml.existing(sobject, record_id(call.match("id"))))


async def update(call: Call) -> web.Response:
    """Also takes the POST of a client that cannot send PATCH."""
    _require_patch(call)
    sobject, id18 = _sobject(call), record_id(call.match("id"))
    draft = read_draft(call.org.schema, sobject, await call.json(), without="Id")
    call.written([call.org.dml.update(sobject, id18, draft, call.change())])
    return web.Response(status=204)


async def delete(call: Call) -> web.Response:
    sobject = _sobject(call)
    call.written(call.org.dml.delete(sobject, record_id(call.match("id")), call.change()))
    return web.Response(status=204)


async def read_by_key(call: Call) -> web.Response:
    sobject = _sobject(call)
    return _show(call, sobject, call.org.dml.existing(sobject, _id_by_key(call, sobject)))


async def delete_by_key(call: Call) -> web.Response:
    sobject = _sobject(call)
    call.written(call.org.dml.delete(sobject, _id_by_key(call, sobject), call.change()))
    return web.Response(status=204)


async def upsert(call: Call) -> web.Response:
    _require_patch(call)
    sobject = _sobject(call)
    key = key_field(sobject, call.match("field"))
    value = record_id(call.match("value")) if key.type == "id" else key_value(key, call.match("value"))
    draft = read_draft(call.org.schema, sobject, await call.json(), without=key.name)
    update_only = call.query.get("updateOnly", "").lower() == "true"
    saved = call.org.dml.upsert(key, value, draft, call.change(), update_only=update_only)
    call.written([saved])
    body = {"id": saved.id, "success": True, "errors": [], "created": saved.action == "created"}
    return call.reply(body, 201 if body["created"] else 200, _location(call, sobject, saved))


async def create_by_id(call: Call) -> web.Response:
    """`POST /sobjects/Account/Id` is a create in the manner of an upsert."""
    sobject = _sobject(call)
    draft = read_draft(call.org.schema, sobject, await call.json(), without="Id")
    return _created(call, sobject, call.org.dml.create(draft, call.change()))


async def updated(call: Call) -> web.Response:
    return _replicate(call, replication.updated)


async def deleted(call: Call) -> web.Response:
    return _replicate(call, replication.deleted)


def _sobject(call: Call) -> SObject:
    return sobject_named(call.org.schema, call.match("object"))


def _show(call: Call, sobject: SObject, record: Record) -> web.Response:
    names = [name for name in call.query.get("fields", "").split(",") if name]
    return call.reply(read_record(sobject, record, selection(sobject, names), call.base))


def _created(call: Call, sobject: SObject, saved: Saved) -> web.Response:
    call.written([saved])
    return call.reply({"id": saved.id, "success": True, "errors": []}, 201, _location(call, sobject, saved))


def _location(call: Call, sobject: SObject, saved: Saved) -> dict[str, str]:
    return {"Location": f"{call.base}/sobjects/{sobject.name}/{saved.id}"}


def _require_patch(call: Call) -> None:
    if call.method != "PATCH":
        raise SalesforceError(
            405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are DELETE,GET,HEAD,PATCH"
        )


def _id_by_key(call: Call, sobject: SObject) -> str:
    key = key_field(sobject, call.match("field"))
    if key.type == "id":
        return record_id(call.match("value"))
    ids = call.org.store.table(sobject).find_alive(key, key_value(key, call.match("value")))
    if not ids:
        raise errors.not_found()
    if len(ids) > 1:
        raise SeveralMatches(key.name, ids)
    return ids[0]


def _replicate(call: Call, read: Callable[[Table, datetime, datetime, datetime], dict[str, Any]]) -> web.Response:
    sobject = _sobject(call)
    if not sobject.allows("replicateable"):
        raise errors.not_found()
    start, end = (_moment(call, name) for name in ("start", "end"))
    return call.reply(read(call.org.store.table(sobject), start, end, call.org.clock()))


def _moment(call: Call, name: str) -> datetime:
    text = call.query.get(name)
    if text is None:
        raise errors.missing_argument(f"The {name} parameter is required")
    try:
        return parse_datetime(text)
    except ValueError:
        raise SalesforceError(400, "INVALID_REPLICATION_DATE", f"{name}: '{text}' is not a date and time") from None
