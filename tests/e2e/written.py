"""What is really written to either system, field by field, told by the systems themselves and not by Syncline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.runtime.scan import reader

Wrote = tuple[str, str, str, Value, Value]
"""Target record, op, field, old and new value."""

AUDIT = """
CREATE TABLE public.audit (n bigserial, xid xid8 DEFAULT pg_current_xact_id(), tab text, old jsonb, new jsonb);
CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.audit (tab, old, new) VALUES (TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON hub.companies FOR EACH ROW EXECUTE FUNCTION public.audit();
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON hub.customers FOR EACH ROW EXECUTE FUNCTION public.audit();
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON hub.addresses FOR EACH ROW EXECUTE FUNCTION public.audit();
"""
"""Every row that anybody writes to the hub from now on, in the order of writing."""

KINDS = {"companies": COMPANY, "customers": CUSTOMER}
PLACES = ("street", "city", "state", "postal_code", "country")


async def in_the_hub(told: Story) -> list[Wrote]:
    """An address that is written together with its owner belongs to it."""
    rows = await told.hub.fetch("SELECT xid::text AS xid, tab, old, new FROM public.audit ORDER BY n")
    made = {(row["xid"], row["new"]["id"]) for row in rows if row["old"] is None and row["tab"] in KINDS}
    return [
        write
        for row in rows
        for write in _row(row["tab"], row["old"] or {}, row["new"] or {}, {id for xid, id in made if xid == row["xid"]})
    ]


def _row(table: str, old: Fields, new: Fields, made: set[Value]) -> Iterator[Wrote]:
    row = new or old
    if table in KINDS:
        kind, owner, prefix, names = KINDS[table], row["id"], "", sorted(row.keys() - {"id"})
        op = "create" if not old else "update"
    else:
        kind = COMPANY if row["company_id"] else CUSTOMER
        owner, prefix, names = row["company_id"] or row["customer_id"], f"{row['kind']}.", list(PLACES)
        op = "create" if owner in made else "update"
    op = op if new else "delete"
    for name in names:
        if old.get(name) != new.get(name):
            yield str(Ref(*kind, str(owner))), op, f"{prefix}{name}", old.get(name), new.get(name)


@dataclass
class Org:
    """The simulated org at a moment: its live records, and how many rows it was ever asked to save."""

    records: dict[Object, dict[str, dict[str, Any]]]
    rows: Mapping[str, int]

    @classmethod
    async def look(cls, told: Story) -> Org:
        records = {}
        for kind in (ACCOUNT, CONTACT):
            async with told.http.get(f"{told.system.org_url}/simorg/records/{kind.name}") as reply:
                found = (await reply.json())["records"]
            records[kind] = {each["Id"]: each for each in found if not each["IsDeleted"]}
        return cls(records, (await told.stats())["rows"])

    def since(self, before: Org, fields: Mapping[Object, frozenset[str]]) -> list[Wrote]:
        """fields: those that count, by object; Salesforce fills others by itself."""
        found: list[Wrote] = []
        for kind, rows in self.records.items():
            was = before.records[kind]
            for id in rows.keys() | was.keys():
                old, new = was.get(id, {}), rows.get(id, {})
                op = "create" if not old else "delete" if not new else "update"
                changed = [name for name in fields[kind] if old.get(name) != new.get(name)]
                found += [(str(Ref(*kind, id)), op, name, old.get(name), new.get(name)) for name in changed]
        return found

    @staticmethod
    def folded(planned: list[Wrote]) -> list[Wrote]:
        """What a look before and a look after show of them: the first old value, and the last new one."""
        first: dict[tuple[str, str], Wrote] = {}
        made = {ref for ref, op, *_ in planned if op == "create"}
        for ref, op, name, old, new in planned:
            was = first.get((ref, name), ("", "", "", old, None))[3]
            first[ref, name] = (ref, "create" if ref in made else op, name, was, new)
        return list(first.values())

    def saves(self, before: Org) -> dict[str, int]:
        return {action: count - before.rows[action] for action, count in self.rows.items()}


async def everything(told: Story) -> dict[str, Any]:
    """All that could be changed anywhere: both systems, the state schema, the topics' ends and the groups."""
    found: dict[str, Any] = {"org": (await Org.look(told)).records}
    hub = ("hub.companies", "hub.customers", "hub.addresses", "syncline_capture.changes")
    tables = await told.state.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'syncline'")
    state = [f"syncline.{row['tablename']}" for row in tables]
    for pool, names in ((told.hub, hub), (told.state, state)):
        for name in names:
            found[name] = await pool.fetchval(f"SELECT jsonb_agg(to_jsonb(t) ORDER BY t::text) FROM {name} t")
    admin = AIOKafkaAdminClient(bootstrap_servers=told.system.stack.kafka_address)
    await admin.start()
    try:
        prefix = told.system.names.prefix
        topics = sorted(each for each in await admin.list_topics() if each.startswith(prefix))
        names = sorted(name for name, *_ in await admin.list_consumer_groups() if name.startswith(prefix))
        found["groups"] = {name: await admin.list_consumer_group_offsets(name) for name in names}
    finally:
        await admin.close()
    async with reader(told.system.stack.kafka_address) as consumer:
        places = [TopicPartition(topic, number) for topic in topics for number in range(told.system.partitions)]
        found["topics"] = await consumer.end_offsets(places)
    return found
