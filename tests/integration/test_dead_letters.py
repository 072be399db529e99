"""Dead letters found, looked at, retried and dropped on a real topic and state schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed, RecordRejected
from syncline.contracts.request import Request
from syncline.oncall import desk
from tests.conftest import FreshDatabase
from tests.integration.oncall import PARTITIONS, OnCall, on_call
from tests.unit.timeline.world import CONTACT, OTHER, PIPELINES, command

LONG = RecordRejected("Last Name is too long", code="STRING_TOO_LONG", fields=("LastName",), remedy="Shorten it.")
NONE_WAITS = "no dead letter waits\n"


@pytest.fixture
async def call(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, tmp_path: Path
) -> AsyncIterator[OnCall]:
    async with on_call(kafka_address, topic_prefix, fresh_database, tmp_path, pipelines=PIPELINES) as call:
        yield call


def commands(call: OnCall) -> str:
    return call.settings.names.commands("hub")


def changes(call: OnCall) -> str:
    return call.settings.names.changes(CONTACT.kind)


async def rejected(call: OnCall, ref: object = CONTACT, *, times: int = 1) -> str:
    """A command that the writer refused, `times` since it was killed in between; returns where the command lies."""
    sent = command(CONTACT if ref is CONTACT else OTHER)
    position = await call.put(commands(call), sent.encode(), key=b"affinity", partition=2)
    letter = DeadLetter.of(
        LONG, stage="writer", position=position, input=sent.encode(), ref=str(sent.source), pipeline=sent.pipeline
    )
    for _ in range(times):
        await call.refuse(letter)
    return position


async def torn(call: OnCall, value: bytes = b'{"half": ') -> str:
    """A stranger's message that the mapper could not read."""
    position = await call.put(changes(call), value, key=b"stranger", partition=1, headers=[("ce_id", b"7")])
    await call.refuse(DeadLetter.of(Malformed("not JSON"), stage="mapper", position=position, input=value))
    return position


async def ids(call: OnCall, *options: str) -> list[str]:
    return [each["id"] for each in (await call.told("dead-letters", "list", *options))["dead_letters"]]


async def test_a_letter_is_found_by_record_pipeline_code_stage_and_position(call: OnCall) -> None:
    place, position = await rejected(call), await torn(call)
    await rejected(call, OTHER)
    told = await call.told("dead-letters", "list")
    assert (told["count"], told["unreadable"]) == (3, 0)
    assert {(each["code"], each["count"]) for each in told["kinds"]} == {("STRING_TOO_LONG", 2), ("MALFORMED", 1)}
    found = [
        await call.told("dead-letters", "list", *options)
        for options in (
            ("--record", CONTACT.id),
            ("--record", f"Contact/{CONTACT.id}", "--pipeline", "contact-to-customer"),
            ("--code", "STRING_TOO_LONG", "--position", place),
        )
    ]
    assert [[each["position"] for each in one["dead_letters"]] for one in found] == [[place]] * 3
    [letter] = (await call.told("dead-letters", "list", "--stage", "mapper"))["dead_letters"]
    assert (letter["position"], letter["record"], letter["done"]) == (position, None, None)
    assert await ids(call, "--position", changes(call)) == [letter["id"]]
    assert await ids(call, "--pipeline", "another") == []
    assert await ids(call, "--since", "1h") != []
    people = (await call.say("dead-letters", "list")).output
    assert "STRING_TOO_LONG" in people
    assert "3 dead letters\n" in people


async def test_show_tells_what_where_why_the_remedy_and_the_input(call: OnCall) -> None:
    place = await rejected(call)
    [name] = await ids(call)
    told = await call.told("dead-letters", "show", name)
    assert (told["code"], told["message"], told["remedy"]) == ("STRING_TOO_LONG", str(LONG), "Shorten it.")
    assert (told["record"], told["position"]) == (str(CONTACT), place)
    assert told["input"]["json"] == command().document()
    assert told["retry"] == f"sends the input again to {commands(call)}/2"
    people = (await call.say("dead-letters", "show", f"{call.settings.names.dead_letters}/{name}")).output
    assert all(each in people for each in ("STRING_TOO_LONG", "Shorten it.", place, '"last_name": "Lund"'))
    await torn(call, b"\x1b[31m torn")
    [name] = await ids(call, "--stage", "mapper")
    assert (await call.told("dead-letters", "show", name))["input"] == {"text": "\x1b[31m torn"}
    assert "\x1b" not in (await call.say("dead-letters", "show", name)).output


async def test_a_command_that_was_refused_goes_to_the_writer_again_once(call: OnCall) -> None:
    """To the partition where it was: two writers must never have one record in hand."""
    await rejected(call, times=3)
    [letter] = (await call.told("dead-letters", "list"))["dead_letters"]
    assert letter["times"] == 3
    name = letter["id"]
    assert await call.told("dead-letters", "retry", name) == {"retried": 1, "unchanged": 0, "left": []}
    first, again = await call.on(commands(call))
    assert (again.partition, again.value) == (first.partition, first.value)
    assert (await call.say("dead-letters", "list")).output == NONE_WAITS
    assert await ids(call, "--done") == [name]
    assert (await call.told("dead-letters", "show", name))["done"] == "retried"
    twice = await call.told("dead-letters", "retry", name)
    assert (twice["retried"], twice["left"]) == (0, [{"id": name, "why": "it was retried before"}])
    assert len(await call.on(commands(call))) == 2
    await rejected(call)  # refused again: another input, another letter
    assert len(await ids(call)) == 1


async def test_what_the_mapper_could_not_read_goes_back_as_it_came(call: OnCall) -> None:
    await torn(call)
    [name] = await ids(call)
    await call.told("dead-letters", "retry", name)
    first, again = await call.on(changes(call))
    assert [(each.partition, each.key, each.value, each.headers) for each in (first, again)] == [
        (1, b"stranger", b'{"half": ', (("ce_id", b"7"),))
    ] * 2


async def test_what_no_topic_holds_is_read_again_by_the_poller(call: OnCall) -> None:
    large = RecordRejected("too large", code="EVENT_TOO_LARGE", remedy="Leave it out.")
    await call.refuse(
        DeadLetter.of(large, stage="poller", position=f"{CONTACT} version 7", input=None, ref=str(CONTACT))
    )
    [name] = await ids(call)
    assert (await call.told("dead-letters", "show", name))["retry"] == f"asks the poller to read {CONTACT} again"
    await call.told("dead-letters", "retry", name)
    [request] = await call.on(call.settings.names.requests)
    assert (request.key, Request.decode(request.value).ref) == (str(CONTACT).encode(), CONTACT)


async def test_what_can_no_longer_be_sent_stays_and_says_why(call: OnCall) -> None:
    gone = DeadLetter.of(Malformed("no"), stage="mapper", position=f"{changes(call)}/0/99", input=b"{")
    elsewhere = DeadLetter.of(LONG, stage="writer", position="nowhere/0/1", input=b"{}")
    await call.refuse(gone, elsewhere)
    told = await call.told("dead-letters", "retry", "--stage", "mapper", "--yes")
    assert (told["retried"], told["unchanged"]) == (0, 1)
    assert "have its sender send it again" in told["left"][0]["why"]
    assert (await call.told("dead-letters", "retry", "--stage", "writer", "--yes"))["retried"] == 0
    assert len(await ids(call)) == 2


async def test_drop_takes_letters_off_the_list_and_retry_may_still_name_them(call: OnCall) -> None:
    await rejected(call)
    await torn(call)
    [name] = await ids(call, "--stage", "writer")
    assert await call.told("dead-letters", "drop", name) == {"dropped": 1, "unchanged": 0, "left": []}
    assert await ids(call, "--stage", "writer") == []
    assert len(await call.on(commands(call))) == 1
    assert (await call.told("dead-letters", "retry", name))["retried"] == 1
    assert (await call.told("dead-letters", "drop", "--code", "MALFORMED", "--yes"))["dropped"] == 1
    assert await ids(call) == []


async def test_all_that_the_options_find_are_retried_in_portions_after_a_question(
    call: OnCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "AT_ONCE", 7)
    many = [command(version=f"v{n:03}") for n in range(50)]
    await call.refuse(
        *(
            DeadLetter.of(
                LONG, stage="writer", position=f"{commands(call)}/1/{n}", input=each.encode(), ref=str(CONTACT)
            )
            for n, each in enumerate(many)
        )
    )
    refused = await call.say("dead-letters", "retry", "--code", "STRING_TOO_LONG", input="n\n")
    assert refused.exit_code == 1
    assert "50 writer: STRING_TOO_LONG" in refused.output
    assert await call.on(commands(call)) == []
    done = await call.say("dead-letters", "retry", "--code", "STRING_TOO_LONG", input="y\n")
    assert "50 retried" in done.output
    sent = [each.value for each in await call.on(commands(call))]
    assert sent == [each.encode() for each in many], "in the order in which they were refused"
    assert (await call.say("dead-letters", "list")).output == NONE_WAITS


async def test_a_topic_that_was_made_anew_is_not_hidden_behind_old_decisions(call: OnCall) -> None:
    """Its offsets begin again at 0: the time of the letter tells them apart."""
    await rejected(call)
    [name] = await ids(call)
    await call.told("dead-letters", "drop", name)
    await call.pool.execute("UPDATE syncline.dead_letters SET written = written - interval '1 hour'")
    assert await ids(call) == [name]


async def test_a_long_topic_is_listed_with_what_is_asked_for_and_counted_whole(call: OnCall) -> None:
    many = 20_000
    await call.refuse(
        *(
            DeadLetter.of(Malformed("no"), stage="mapper", position=f"{changes(call)}/0/{n}", input=b"x" * 300)
            for n in range(many)
        )
    )
    await call.publish((call.settings.names.dead_letters, "k", b"no letter"))
    told = await call.told("dead-letters", "list", "--limit", "5")
    assert (told["count"], len(told["dead_letters"]), told["unreadable"]) == (many, 5, 1)


@pytest.mark.parametrize("name", ["17", "1-2", "a/b", "1/2/x"])
async def test_a_name_that_is_none_is_refused_with_one_that_is(call: OnCall, name: str) -> None:
    refused = await call.say("dead-letters", "show", name)
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: {name!r} is no dead letter: `syncline dead-letters list` names each as partition/offset, like 3/17\n"
    )


@pytest.mark.parametrize("name", ["0/0", f"{PARTITIONS}/0", "1/99999"])
async def test_a_letter_that_there_is_not_is_said_so(call: OnCall, name: str) -> None:
    for verb in ("show", "retry", "drop"):
        refused = await call.say("dead-letters", verb, name)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert f"there is no dead letter {name}" in refused.stderr
        assert "syncline dead-letters list" in refused.stderr


async def test_an_empty_topic_a_missing_one_and_a_broker_that_is_away(call: OnCall) -> None:
    assert (await call.say("dead-letters", "list")).output == NONE_WAITS
    assert (await call.told("dead-letters", "list"))["dead_letters"] == []
    missing = await call.say("dead-letters", "list", SYNCLINE_PREFIX=f"{call.settings.prefix}.none")
    assert missing.exit_code == 1
    assert "run `syncline topics`" in missing.stderr
    away = await call.say("dead-letters", "list", SYNCLINE_KAFKA="127.0.0.1:9")
    assert away.exit_code == 1
    assert away.stderr.startswith("Error: Kafka at 127.0.0.1:9 cannot be reached")
    assert "check SYNCLINE_KAFKA" in away.stderr
    assert len(away.stderr.splitlines()) == 1


async def test_neither_ids_nor_options_or_both_are_refused(call: OnCall) -> None:
    for words in (("retry",), ("drop", "0/1", "--code", "X")):
        refused = await call.say("dead-letters", *words)
        assert refused.exit_code == 2
        assert "one of the two" in refused.stderr
    await rejected(call)
    refused = await call.say("dead-letters", "retry", "--stage", "writer", "--json")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
