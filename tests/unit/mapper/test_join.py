"""The two hops as one model: whatever the order of events, results, repeats and moves, every wanted child is
commanded exactly when its parent is synced, and nothing is forgotten."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from services.mapper.engine import Effects, Input, Output
from services.mapper.join import HELD, Join
from services.mapper.mapped import Mapped, Wait
from services.mapper.records import Records
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.ref import Fields, Ref
from syncline.contracts.request import Request
from syncline.contracts.result import Outcome, Result
from syncline.contracts.topics import Names

NAMES = Names("t")
CONFIG: dict[str, Any] = {
    "systems": {
        "sf": {
            "kind": "salesforce",
            "login_url": "x",
            "auth": {"flow": "client_credentials", "client_id": "x", "client_secret": "x"},
            "objects": {"Account": {"counterpart": {"hub": "Hub_Id__c"}}},
        },
        "hub": {
            "kind": "postgres",
            "url": "x",
            "objects": {
                "company": {"table": "hub.companies", "counterpart": {"sf": "salesforce_id"}},
                "customer": {"table": "hub.customers", "counterpart": {"sf": "salesforce_id"}},
            },
        },
    },
    "pipelines": {
        "accounts": {
            "from": "sf.Account",
            "to": "hub.company",
            "references": {"parent_id": "ParentId"},
            "fields": {"name": "Name"},
        },
        "contacts": {
            "from": "sf.Contact",
            "to": "hub.customer",
            "parent": {"field": "company_id", "from": "AccountId", "pipeline": "accounts"},
            "match": [["email"]],
            "fields": {"last_name": "LastName", "email": {"from": "Email", "transform": ["trim", "lower"]}},
        },
    },
}


def config(**contacts: Any) -> Config:
    pipelines = {**CONFIG["pipelines"], "contacts": {**CONFIG["pipelines"]["contacts"], **contacts}}
    return Config.model_validate({**CONFIG, "pipelines": pipelines})


class Tables:
    def __init__(self) -> None:
        self.rows: dict[str, dict[bytes, bytes]] = {"records": {}, "synced": {}, "held": {}}

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.rows[table].get(key)

    def scan(self, table: str, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return sorted(row for row in self.rows[table].items() if row[0].startswith(prefix))

    def apply(self, changes: dict[str, dict[bytes, bytes | None]]) -> None:
        for table, rows in changes.items():
            for key, value in rows.items():
                if value is None:
                    self.rows[table].pop(key, None)
                else:
                    self.rows[table][key] = value


class Mapper:
    """Both hops on one partition, without Kafka. Outputs for the mapper itself queue up as they would on `mapped`."""

    def __init__(self, configured: Config) -> None:
        self.tables = Tables()
        self.records, self.join = Records(configured, NAMES), Join(NAMES)
        self.queue: deque[Output] = deque()
        self.commands: list[Command] = []
        self.keys: defaultdict[Ref, set[bytes]] = defaultdict(set)
        self.results: list[Result] = []
        self.requests: list[Request] = []
        self.letters: list[DeadLetter] = []

    def _run(self, hop: Any, topic: str, messages: Sequence[tuple[bytes, bytes | None]]) -> None:
        batch = [Input(topic, 0, n, key, value, 0) for n, (key, value) in enumerate(messages)]
        self.take(hop.run(batch, self.tables))

    def take(self, effects: Effects) -> None:
        self.tables.apply(effects.changes)
        for output in effects.outputs:
            if output.topic == NAMES.mapped:  # half is handed over, half goes over the broker
                over = len(self.queue) % 2 and isinstance(output.value, Mapped)
                self.queue.append(structs.replace(output, value=output.value.encode()) if over else output)
            elif output.topic == NAMES.results:
                self.results.append(Result.decode(output.value))
            elif output.topic == NAMES.requests:
                self.requests.append(Request.decode(output.value))
            elif output.topic == NAMES.dead_letters:
                self.letters.append(DeadLetter.decode(output.value))
            else:
                self.commands.append(Command.decode(output.value))
                self.keys[self.commands[-1].source].add(output.key)

    def change(self, *changes: Change) -> None:
        self._run(self.records, "changes", [(each.ref.id.encode(), each.encode()) for each in changes])

    def raw(self, value: bytes) -> None:
        self._run(self.records, "changes", [(b"k", value)])

    def drain(self, size: int = 100) -> None:
        while self.queue:
            batch = [self.queue.popleft() for _ in range(min(size, len(self.queue)))]
            self._run(self.join, NAMES.mapped, [(each.key, each.value) for each in batch])

    def written(self, source: Ref, target: Ref, outcome: Outcome = "written") -> None:
        result = Result(pipeline="p", outcome=outcome, source=source, target=target, version="1")
        self._run(self.join, NAMES.results, [(key, result.encode()) for key in result.message_keys()])


def account(id: str, version: int = 1, parent: str | None = None, **fields: Any) -> Change:
    return change("Account", id, version, {"Name": f"name of {id}", "ParentId": parent, **fields})


def contact(id: str, parent: str | None, version: int = 1, **fields: Any) -> Change:
    return change("Contact", id, version, {"LastName": id, "AccountId": parent, "Email": f" {id}@X.example", **fields})


def change(name: str, id: str, version: int, fields: Fields, **more: Any) -> Change:
    return Change(
        ref=Ref("sf", name, id),
        instance="i",
        op=more.pop("op", "update"),
        version=f"{version:04}",
        time="2026-01-01T00:00:00Z",
        fields=fields,
        **more,
    )


A, C = Ref("sf", "Account", "A"), Ref("sf", "Contact", "c")
HUB_A = Ref("hub", "company", "7")


def test_a_child_waits_for_the_result_of_its_parent_not_for_its_sight() -> None:
    mapper = Mapper(config())
    mapper.change(contact("c", "A"))
    mapper.change(account("A"))
    mapper.drain()
    assert [command.source for command in mapper.commands] == [A]
    mapper.written(A, HUB_A, "rejected")
    assert len(mapper.commands) == 1
    mapper.written(A, HUB_A)
    child = mapper.commands[1]
    assert (child.source, child.fields["company_id"]) == (C, "7")
    assert child.fields["email"] == "c@x.example"
    assert child.match == [{"email": "c@x.example"}]
    assert (child.inputs["company_id"], child.seen["AccountId"]) == (["AccountId"], "A")
    assert not mapper.tables.rows[HELD]


def test_a_child_of_a_parent_that_came_from_the_other_side_goes_straight_on() -> None:
    mapper = Mapper(config())
    mapper.written(HUB_A, A)  # company -> Account made the pair
    mapper.change(contact("c", "A"))
    mapper.drain()
    assert [command.fields["company_id"] for command in mapper.commands] == ["7"]
    assert mapper.requests == []


def test_a_missing_parent_is_asked_for_once() -> None:
    mapper = Mapper(config())
    mapper.change(*(contact(f"c{n}", "A") for n in range(5)))
    mapper.drain(size=2)
    assert [request.ref for request in mapper.requests] == [A]
    mapper.written(A, HUB_A)
    assert len(mapper.commands) == 5


def test_a_child_that_moves_is_not_released_by_its_old_parent() -> None:
    mapper = Mapper(config())
    mapper.change(contact("c", "A", 1), contact("c", "B", 2))
    mapper.drain()
    mapper.written(A, HUB_A)
    assert mapper.commands == []
    mapper.written(Ref("sf", "Account", "B"), Ref("hub", "company", "8"))
    assert [command.fields["company_id"] for command in mapper.commands] == ["8"]


def test_children_share_their_parents_place_in_the_writer_and_keep_it_when_they_move() -> None:
    """Else two writers could have the same record in hand at a time, and the older of its versions come last."""
    mapper = Mapper(config())
    mapper.written(A, HUB_A)
    mapper.written(Ref("sf", "Account", "B"), Ref("hub", "company", "8"))
    mapper.change(account("A"), contact("c", "A", 1), contact("d", None, 1))
    mapper.change(contact("c", "B", 2), contact("d", "B", 2), contact("e", "B", 2))
    mapper.drain()
    assert [command.fields.get("company_id") for command in mapper.commands] == [None, "7", "8", "8", "8"]
    keys = {ref.id: [key.decode() for key in keys] for ref, keys in mapper.keys.items()}
    assert keys == {"A": [str(A)], "c": [str(A)], "d": ["sf/Contact/d"], "e": ["sf/Account/B"]}


def test_accounts_in_a_cycle_are_written_first_and_joined_after() -> None:
    mapper = Mapper(config())
    mapper.change(account("A", parent="B"), account("B", parent="A"))
    mapper.drain()
    assert [(c.source.id, c.creates, "parent_id" in c.fields) for c in mapper.commands] == [
        ("A", True, False),
        ("B", True, False),
    ]
    mapper.written(A, HUB_A)
    mapper.written(Ref("sf", "Account", "B"), Ref("hub", "company", "8"))
    mapper.drain()
    patches = {c.source.id: (c.creates, c.fields) for c in mapper.commands[2:]}
    assert patches == {"A": (False, {"parent_id": "8"}), "B": (False, {"parent_id": "7"})}
    assert not mapper.tables.rows[HELD]


@pytest.mark.parametrize(
    ("policy", "commands", "held", "skipped"), [("skip", 0, 0, 1), ("write", 1, 0, 0), ("hold", 0, 1, 0)]
)
def test_a_child_without_parent_follows_the_policy(policy: str, commands: int, held: int, skipped: int) -> None:
    parent = {**CONFIG["pipelines"]["contacts"]["parent"], "without": policy}
    mapper = Mapper(config(parent=parent))
    mapper.change(contact("c", None))
    mapper.drain()
    assert len(mapper.commands) == commands
    assert len(mapper.tables.rows[HELD]) == held
    assert [result.reason for result in mapper.results] == ["it has no AccountId"] * skipped
    assert mapper.requests == []
    mapper.written(A, HUB_A)
    mapper.change(contact("c", "A", 2))
    mapper.drain()
    assert mapper.commands[-1].fields["company_id"] == "7"
    assert not mapper.tables.rows[HELD]


def test_stale_and_repeated_changes_say_nothing_and_an_equal_version_with_other_content_does() -> None:
    mapper = Mapper(config())
    mapper.change(account("A", 2), account("A", 2), account("A", 1, Name="old"), account("A", 2, Name="same second"))
    mapper.drain()
    assert [command.fields["name"] for command in mapper.commands] == ["name of A", "same second"]
    assert mapper.records.counts == {"changed": 2, "repeated": 1, "stale": 1}


def test_a_delta_is_merged_and_absent_is_not_null() -> None:
    mapper = Mapper(config())
    mapper.change(account("A", 1, Name="first", ParentId=None))
    mapper.change(change("Account", "A", 2, {"ParentId": "B"}, complete=False))
    mapper.drain()
    assert mapper.commands[-1].fields == {"name": "first"}
    mapper.change(change("Account", "Z", 1, {"Name": "part"}, complete=False))
    assert [request.ref.id for request in mapper.requests if request.ref.id == "Z"] == ["Z"]


def test_a_deleted_child_is_no_longer_held() -> None:
    mapper = Mapper(config())
    mapper.change(contact("c", "A"), change("Contact", "c", 2, {}, op="delete"))
    mapper.drain()
    mapper.written(A, HUB_A)
    assert mapper.commands == []
    assert mapper.results[-1].reason == "the pipeline ignores deletions"


def test_what_cannot_be_read_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    mapper = Mapper(config())
    mapper.raw(b"{")
    mapper.raw(change("Lead", "q", 1, {}).encode())
    mapper.change(account("A"))
    mapper.drain()
    assert [letter.code for letter in mapper.letters] == ["MALFORMED"] * 2
    assert "no pipeline reads sf/Lead" in mapper.letters[1].message
    assert [letter.position for letter in mapper.letters] == ["changes/0/0"] * 2
    assert len(mapper.commands) == 1


def test_an_event_that_is_too_large_is_a_dead_letter_without_its_bytes() -> None:
    mapper = Mapper(config())
    mapper.change(account("A", Name="x" * 2_000_000), account("B"))
    mapper.drain()
    assert [(letter.code, letter.input) for letter in mapper.letters] == [("EVENT_TOO_LARGE", None)]
    assert [command.source.id for command in mapper.commands] == ["B"]


def test_commands_made_from_a_form_are_what_the_contract_writes() -> None:
    """The mapper writes them by itself, for speed: order of attributes, id and all must not drift away."""
    mapper = Mapper(config())
    mapper.change(account("A", ParentId="B"), contact("c", "A"), contact("d", None))
    mapper._run(mapper.join, NAMES.mapped, [])
    whole = [_mapped(output).command for output in mapper.queue]
    assert len(whole) == 3  # the Account, its reference, one Contact; the other one is skipped
    for command in whole:
        assert Command.decode(command).encode() == orjson.dumps(_in_contract_order(command))


def _mapped(output: Output) -> Mapped:
    return output.value if isinstance(output.value, Mapped) else Mapped.decode(output.value)


def _in_contract_order(command: bytes) -> dict[str, Any]:
    document = orjson.loads(command)
    return {name: document[name] for name in Command.decode(command).document()}


def test_a_field_joins_those_that_are_there_and_none() -> None:
    cases: list[tuple[Fields, Fields]] = [
        ({}, {"x": 'a"7'}),
        ({"n": "{", "m": None}, {"n": "{", "m": None, "x": 'a"7'}),
    ]
    for fields, expected in cases:
        command = Command(
            pipeline="p",
            op="upsert",
            source=C,
            version="1",
            time="t",
            target=HUB_A.kind,
            fields=fields,
            seen={},
            inputs={},
        )
        waiting = Mapped.of(command, (Wait(str(A), str(HUB_A.kind), "x"),), str(A))
        assert Command.decode(waiting.filled('a"7')).fields == expected


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"{}\n{}", b"[]", b'{"source":"a"}\n{"fields":{}}', b"\xff\n{}"],
)
def test_what_is_no_mapped_command_is_a_dead_letter(raw: bytes | None) -> None:
    mapper = Mapper(config())
    mapper._run(mapper.join, NAMES.mapped, [(b"k", raw)])
    assert [letter.code for letter in mapper.letters] == ["MALFORMED"]


ACCOUNTS, CONTACTS = ["A", "B", "D"], ["c", "d", "e", "f"]
edits = st.lists(
    st.one_of(
        st.tuples(st.just("account"), st.sampled_from(ACCOUNTS), st.sampled_from([None, *ACCOUNTS])),
        st.tuples(st.just("contact"), st.sampled_from(CONTACTS), st.sampled_from([None, *ACCOUNTS])),
        st.tuples(st.just("synced"), st.sampled_from(ACCOUNTS), st.none()),
        st.tuples(st.just("drain"), st.none(), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(edits, st.randoms(use_true_random=False))
def test_in_the_end_every_child_of_a_synced_parent_was_commanded_with_its_newest_version(
    steps: list[tuple[str, str, str | None]], rng: random.Random
) -> None:
    """Versions count up; each record's own changes are redelivered at random, as after a crash, in their order."""
    mapper = Mapper(config())
    last: dict[Ref, Change] = {}
    history: dict[Ref, list[Change]] = {}
    synced: set[str] = set()
    for version, (kind, id, parent) in enumerate(steps):
        if kind == "drain":
            mapper.drain(size=rng.randint(1, 5))
        elif kind == "synced":
            # A parent is synced only after its command; the hub could also have made it, which is the same here.
            synced.add(id)
            mapper.written(Ref("sf", "Account", id), Ref("hub", "company", f"hub-{id}"))
        else:
            made = account(id, version, parent) if kind == "account" else contact(id, parent, version)
            last[made.ref] = made
            history.setdefault(made.ref, []).append(made)
            mapper.change(made)
            if rng.random() < 0.3:
                again = history[made.ref]
                mapper.change(*again[rng.randrange(len(again)) :])
    mapper.drain()
    for id in ACCOUNTS:
        mapper.written(Ref("sf", "Account", id), Ref("hub", "company", f"hub-{id}"))
    mapper.drain()

    assert all(len(keys) == 1 for keys in mapper.keys.values())
    newest: dict[tuple[Ref, bool], Command] = {}
    for command in mapper.commands:
        seen = newest.get((command.source, command.creates))
        if seen is None or command.version >= seen.version:
            newest[command.source, command.creates] = command
    for ref, change_ in last.items():
        parent_id = change_.fields.get("AccountId") if ref.object == "Contact" else change_.fields.get("ParentId")
        if ref.object == "Contact" and parent_id is None:
            continue
        assert newest[ref, True].version == change_.version
        if ref.object == "Contact":
            assert newest[ref, True].fields["company_id"] == f"hub-{parent_id}"
        elif parent_id is not None:
            assert newest[ref, False].fields["parent_id"] == f"hub-{parent_id}"
            assert newest[ref, False].version == change_.version
    assert not mapper.tables.rows[HELD]
    assert not mapper.letters


def test_an_older_reference_that_comes_late_does_not_push_out_a_newer_one() -> None:
    mapper = Mapper(config())
    for version in (2, 1):
        command = Command(
            pipeline="accounts",
            op="upsert",
            source=A,
            version=f"{version:04}",
            time="2026-01-01T00:00:00Z",
            target=HUB_A.kind,
            fields={"parent_id": f"hub-{version}"},
            seen={},
            inputs={},
            creates=False,
        )
        late = Mapped.of(command, (Wait(str(A), str(HUB_A.kind), None),), str(A))
        mapper.queue.append(Output(NAMES.mapped, late.head.key, late.encode()))
    mapper.drain(size=1)
    mapper.written(A, HUB_A)
    assert [c.fields for c in mapper.commands if not c.creates] == [{"parent_id": "hub-2"}]
