"""Whatever people do on both sides, and wherever the writer dies, both sides end up equal, nothing is doubled, and
nothing that a person typed disappears unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from services.writer import loop, plan
from services.writer.merge import Merged, merge
from services.writer.sinks import Present
from syncline.contracts.command import Command
from syncline.contracts.link import Link
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.mapping import Transformed, Transformer
from tests.unit.writer.world import FIELDS, HUB_NAME, PARENT, MemorySystem, World, config

side = st.sampled_from(["sf", "hub"])
kind = st.sampled_from(["Account", "Account", "Contact"])
number = st.integers(0, 3)
edit = st.tuples(
    st.just("edit"),
    side,
    number,
    st.sampled_from([("Account", each) for each in FIELDS["Account"]] + [("Contact", "LastName")]),
    st.sampled_from([None, "", "x", "y", " z ", "w"]),
)
meanwhile = st.tuples(st.just("meanwhile"), edit)
flow = st.tuples(st.just("flow"), side, st.booleans())
write = st.tuples(st.just("write"), st.integers(1, 3), st.sampled_from([False, False, True]))
people = st.one_of(
    st.tuples(st.just("create"), side, st.sampled_from(["Acme", "Beta"]), st.sampled_from([None, "p", "q"])),
    st.tuples(st.just("hire"), side, number, st.sampled_from(["a@x", "b@x", None])),
    st.tuples(st.just("move"), side, number, number),
    st.tuples(st.just("delete"), side, kind, number),
    st.tuples(st.just("restore"), kind, number),
    st.tuples(st.just("merge"), number, number),
    st.tuples(st.just("crash")),
    st.tuples(st.just("late"), st.integers(0, 3)),
    meanwhile,
)
steps = st.lists(st.one_of(edit, edit, flow, flow, write, write, people), max_size=50)


def called_as(name: str, what: str, what_kind: str = "Account") -> str:
    return what if name == "sf" else {**FIELDS[what_kind], "AccountId": "company_id"}[what]


@dataclass
class History:
    """What people did: (system, object, record, field) to (when, value), the last on each side."""

    world: World
    edits: dict[tuple[str, str, str, str], tuple[int, Value]] = field(default_factory=dict)
    when: int = 0
    first: set[str] = field(default_factory=set)

    def edited(self, system: MemorySystem, name: str, id: str, values: Fields) -> None:
        self.when += 1
        stored = self.world.sf.canonical("", values)
        self.edits |= {(system.name, name, id, each): (self.when, value) for each, value in stored.items()}

    def save(self, system: MemorySystem, name: str, id: str, values: Fields) -> None:
        """As a person: what is shown already is not typed again."""
        values = system.canonical(name, values)
        if any(system.records[name, id].values[each] != value for each, value in values.items()):
            system.save(name, id, values)
            self.edited(system, name, id, values)

    def create(self, system: MemorySystem, kind_: str, values: Fields) -> None:
        id = system.create(kind_, values)
        filled: Fields = {each: value for each, value in values.items() if value is not None}
        self.edited(system, system.object(kind_), id, filled)


def at(ids: list[str], place: int) -> str | None:
    return ids[place] if place < len(ids) else None


def play(world: World, history: list[Any]) -> History:
    done = History(world)
    for n in range(2):
        account = world.sf.create("Account", {"Name": f"pair {n}", "Phone": "1", "Tier": "gold"})
        world.sf.create("Contact", {"LastName": f"person {n}", "Email": f"{n}@x", "AccountId": account})
    world.settle()
    done.first = {id for system in (world.sf, world.hub) for _, id in system.records}
    for step in history:
        take(world, done, step)
    return done


def take(world: World, done: History, step: Any) -> None:
    match step:
        case ("create", name, called, phone):
            values = {called_as(name, "Name"): called, called_as(name, "Phone"): phone}
            done.create(world.system(name), "Account", values)
        case ("hire", name, place, email):
            system = world.system(name)
            if account := at(system.live("Account"), place):
                values = {"LastName": "new", "Email": email, "AccountId": account}
                done.create(system, "Contact", {called_as(name, k, "Contact"): v for k, v in values.items()})
        case ("edit", name, place, (kind_, what), value):
            system = world.system(name)
            required = what in ("Name", "LastName") and not (value or "").strip()
            if (id := at(system.live(kind_), place)) and not required:
                done.save(system, system.object(kind_), id, {called_as(name, what, kind_): value})
        case ("meanwhile", inner):  # while the writer is about to write there
            world.system(inner[1]).meanwhile.append(lambda: take(world, done, inner))
        case ("move", name, place, to):
            system = world.system(name)
            if (id := at(system.live("Contact"), place)) and (account := at(system.live("Account"), to)):
                done.save(system, system.object("Contact"), id, {PARENT[name]: account})
        case ("delete", name, kind_, place):
            system = world.system(name)
            if id := at(system.live(kind_), place):
                system.remove(system.object(kind_), id)
        case ("restore", kind_, place):
            gone = [id for (each, id), row in world.sf.records.items() if each == kind_ and row.gone]
            if id := at(gone, place):
                parent = world.sf.records[kind_, id].values.get("AccountId")
                if parent is None or str(parent) in world.sf.live("Account"):
                    world.sf.save(kind_, id, {})
        case ("merge", winner, loser):
            accounts = world.sf.live("Account")
            if winner != loser and (keep := at(accounts, winner)) and (drop := at(accounts, loser)):
                for child in world.sf.children(drop):
                    done.save(world.sf, "Contact", child, {"AccountId": keep})
                world.sf.remove("Account", drop)
        case ("flow", name, tick):
            world.clock.second += tick
            world.capture(name)
            world.map(name)
        case ("write", count, redeliver):
            world.write(count, redeliver=redeliver)
        case ("crash",):
            world.links.crash = True
        case ("late", place):
            if place < len(world.commands):
                world.commands.append(world.commands.pop(place))


def pairs(world: World) -> list[tuple[str, str, str, Link]]:
    """(Salesforce's object, id, hub id, link) of every pair that is one."""
    found = []
    for link in world.links.stored.values():
        sf, hub = sorted((link.source.ref, link.target.ref), key=lambda ref: ref.system, reverse=True)
        if not link.ended:
            found.append((sf.object, sf.id, hub.id, link))
    return found


def differences(world: World) -> list[str]:
    """Field by field over every pair of live records, and every live record that has no counterpart for no reason."""
    told = {letter.ref for letter in world.letters}
    told |= {str(result.source) for result in world.results if result.outcome in ("skipped", "rejected")}
    waiting = (key.split(b"\0") for key in world.tables.rows["held"])
    told |= {parts[1].decode() for parts in waiting if len(parts) > 2}
    found = []
    for system, other in ((world.sf, world.hub), (world.hub, world.sf)):
        for kind_ in FIELDS:
            for id in system.live(kind_):
                ref = Ref(system.name, system.object(kind_), id)
                link = world.links.of(ref, Object(other.name, other.object(kind_)))
                if (link is None or link.ended == "deleted") and str(ref) not in told:
                    found.append(f"{ref} has no counterpart")
    for kind_, sf_id, hub_id, link in pairs(world):
        sf, hub = world.sf.records[kind_, sf_id], world.hub.records[HUB_NAME[kind_], hub_id]
        if sf.gone or hub.gone or link.paused:
            continue
        shown = world.sf.canonical("", {ours: hub.values[theirs] for ours, theirs in FIELDS[kind_].items()})
        for ours in FIELDS[kind_]:
            one, two = sf.values[ours], shown[ours]
            kept = ours != "Phone" and (one is None or two is None)  # an empty value never overwrites
            refs = {f"sf/{kind_}/{sf_id}", f"hub/{HUB_NAME[kind_]}/{hub_id}"}
            if one != two and not kept and not refs & told:
                found.append(f"{sf_id}.{ours}: {one!r} and {two!r}")
    return found


def lost(done: History) -> list[str]:
    """Edits that are neither the end value, nor followed by a later one of the same field, nor among the conflicts;
    and fields that are empty though nobody emptied them."""
    world, found = done.world, []
    trim = world.sf.canonical
    told = {(c.field, trim("", {"_": v})["_"]) for c in world.conflicts.rows for v in (c.incoming, c.present)}
    letters = {letter.ref for letter in world.letters}
    for kind_, sf_id, hub_id, _ in pairs(world):
        sf, hub = ("sf", kind_, sf_id), ("hub", HUB_NAME[kind_], hub_id)
        if world.sf.records[sf[1:]].gone or world.hub.records[hub[1:]].gone or letters & {"/".join(sf), "/".join(hub)}:
            continue
        for ours, theirs in FIELDS[kind_].items():
            end = world.sf.records[sf[1:]].values[ours]
            both = [(*sf, ours), (*hub, theirs)]
            last = max((done.edits[each] for each in both if each in done.edits), default=(0, end))[1]
            # An empty value never overwrites, nor does one of before the link: nobody can tell it from never filled.
            cleared = last is None and (ours != "Phone" or sf_id not in done.first)
            if last != end and not cleared and not told & {(ours, last), (theirs, last)}:
                found.append(f"{sf_id}.{ours} ended as {end!r}, the last edit was {last!r}")
    for system in (world.sf, world.hub):
        tier = called_as(system.name, "Tier")
        for id in system.live("Account"):
            row, typed = system.records[system.object("Account"), id], (system.name, system.object("Account"), id, tier)
            if id in done.first and row.values[tier] is None and done.edits.get(typed, (0, "gold"))[1]:
                found.append(f"{id}.{tier} was blanked")
    return found


def check(history: list[Any], conflict: str, on_delete: str = "ignore") -> None:
    world = World(config(conflict, on_delete))
    done = play(world, history)
    world.links.crash = False
    world.sf.meanwhile, world.hub.meanwhile = [], []
    world.settle()
    assert differences(world) == []
    assert lost(done) == []
    before = world.sf.writes + world.hub.writes
    for name in ("sf", "hub"):
        world.system(name).captured.clear()
        world.capture(name)
        world.map(name)
    world.write(len(world.commands))
    assert world.sf.writes + world.hub.writes == before, "unchanged data was written again"


def test_a_record_whose_new_parent_was_merged_away_is_left_to_a_person() -> None:
    """Moved in the hub to a company whose Account is gone by then."""
    world = World(config("latest"))
    history = [("move", "hub", 0, 1), ("edit", "hub", 0, ("Contact", "LastName"), "x"), ("merge", 0, 1)]
    done = play(world, history)
    world.settle()
    [letter] = world.letters
    assert (letter.ref, letter.code) == ("hub/customer/customer0", "INVALID_CROSS_REFERENCE_KEY")
    assert differences(world) == lost(done) == []


@pytest.mark.parametrize("on_delete", ["ignore", "unlink", "delete"])
@pytest.mark.parametrize("conflict", ["sf", "hub", "latest"])
def test_both_sides_end_up_equal(conflict: str, on_delete: str) -> None:
    search = settings(max_examples=250)
    search(given(steps)(lambda history: check(history, conflict, on_delete)))()


def _without_version_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = plan.settled_by_link

    def unguarded(command: Command, link: Link | None) -> plan.Settled | None:
        return guarded(structs.replace(command, version="~") if link and not link.ended else command, link)

    monkeypatch.setattr(plan, "settled_by_link", unguarded)


def _without_present_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(command: Command, wanted: Fields, agreed: Fields, present: Present, *, now: datetime) -> Merged:
        return merge(command, wanted, agreed, replace(present, values={**present.values, **agreed}), now=now)

    monkeypatch.setattr(plan, "merge", trusting)


def _without_look_while_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "overtaken", lambda step, saved, now: None)


def _with_absent_as_null(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Transformer.apply

    def blanking(self: Transformer, record: Fields) -> Transformed:
        made = apply(self, record)
        sources = {target: source for target, source, *_ in self._mapped}
        return Transformed({**dict.fromkeys(sources), **made.fields}, made.seen)

    monkeypatch.setattr(Transformer, "apply", blanking)


def change(value: Value, what: str = "Phone", name: str = "sf") -> tuple[Any, ...]:
    return ("edit", name, 0, ("Account", what), value)


OVERTAKEN = [
    *(change("x"), ("flow", "sf", True), change("y"), ("flow", "sf", True)),
    *(("late", 0), ("write", 1, False), ("write", 1, False)),
]
MEANWHILE = [change("x", name="hub"), ("flow", "hub", True), ("meanwhile", change("y")), ("write", 1, False)]
BOTH_EDITED = [change("y"), change("x", name="hub"), ("flow", "sf", True)]
EMPTIED = [change(None, "Tier"), ("flow", "sf", True), ("write", 1, False)]


@pytest.mark.parametrize(
    ("broken", "history"),
    [
        (_without_version_guard, OVERTAKEN),
        (_without_present_read, BOTH_EDITED),
        (_without_look_while_writing, MEANWHILE),
        (_with_absent_as_null, EMPTIED),
    ],
)
def test_the_test_sees_a_broken_merge(
    broken: Callable[[pytest.MonkeyPatch], None], history: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(history, "sf")
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        check(history, "sf")
