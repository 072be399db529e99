"""The writer does not know what it wrote: it was killed before it stored the link, or got no answer."""

from __future__ import annotations

import pytest

from tests.unit.writer.test_two_sides import called_as
from tests.unit.writer.world import HUB_NAME, World, config

SIDES = [("sf", "hub"), ("hub", "sf")]
OBJECT = {"sf": "Account", "hub": HUB_NAME["Account"]}
POLICIES = ["sf", "hub", "latest"]


def made_without_link(policy: str, source: str) -> tuple[World, str]:
    """A record of `source` whose counterpart was made just before the writer died; its command comes again."""
    world = World(config(policy))
    id = world.system(source).create("Account", {called_as(source, "Name"): "Acme", called_as(source, "Phone"): "1"})
    flow(world, source)
    world.links.crash = True
    world.write(1)
    assert not world.links.stored
    assert len(world.commands) == 1
    return world, id


def flow(world: World, source: str) -> None:
    world.clock.second += 5
    world.capture(source)
    world.map(source)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("source", "target"), SIDES)
def test_an_edit_of_the_source_is_no_conflict_with_what_the_writer_itself_wrote(
    policy: str, source: str, target: str
) -> None:
    world, id = made_without_link(policy, source)
    world.system(source).save(OBJECT[source], id, {called_as(source, "Phone"): "2"})
    flow(world, source)
    world.write(len(world.commands))
    world.settle()
    [made] = world.system(target).records.values()
    assert made.values[called_as(target, "Phone")] == "2"
    assert world.system(source).records[OBJECT[source], id].values[called_as(source, "Phone")] == "2"
    assert world.conflicts.rows == []


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("source", "target"), SIDES)
def test_an_edit_of_both_is_a_conflict_all_the_same(policy: str, source: str, target: str) -> None:
    world, id = made_without_link(policy, source)
    world.system(source).save(OBJECT[source], id, {called_as(source, "Phone"): "2"})
    [(name, made)] = world.system(target).records
    world.system(target).save(name, made, {called_as(target, "Phone"): "3"})
    flow(world, source)
    world.write(len(world.commands))
    world.settle()
    ends = {
        world.system(each).records[OBJECT[each], ref].values[called_as(each, "Phone")]
        for each, ref in [(source, id), (target, made)]
    }
    assert len(ends) == 1
    [conflict] = world.conflicts.rows
    assert {conflict.incoming, conflict.present} == {"2", "3"}
    if policy != "latest":
        assert ends == {"2" if policy == source else "3"}


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_call_without_answer_wrote_is_no_conflict_with_the_next_edit(policy: str) -> None:
    world = World(config(policy))
    company = world.hub.create("Account", {"name": "Acme", "phone": "1"})
    world.settle()
    for phone in ("2", "3"):
        world.hub.save("company", company, {"phone": phone})
        flow(world, "hub")
        world.sf.unanswered = phone == "2"
        world.write(len(world.commands))
    assert world.sf.records["Account", "Account0"].values["Phone"] == "3"
    world.settle()
    assert world.hub.records["company", company].values["phone"] == "3"
    assert world.conflicts.rows == []


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("source", "target"), SIDES)
def test_the_echo_of_what_was_made_waits_for_the_command_that_made_it(policy: str, source: str, target: str) -> None:
    """The echo knows the mark but not that its values are our own: it would win over an edit of the source."""
    world, id = made_without_link(policy, source)
    world.system(source).save(OBJECT[source], id, {called_as(source, "Phone"): "2"})
    flow(world, source)
    flow(world, target)
    world.commands.insert(0, world.commands.pop())
    assert f'"target":"{source}/'.encode() in (world.commands[0].value or b"")
    world.write(len(world.commands))
    world.settle()
    [made] = world.system(target).records.values()
    assert made.values[called_as(target, "Phone")] == "2"
    assert world.system(source).records[OBJECT[source], id].values[called_as(source, "Phone")] == "2"
    assert world.conflicts.rows == []
