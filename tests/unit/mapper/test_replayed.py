"""What comes by the topic `replay`: driven through once more, and never over what came live."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec.structs import replace

from services.mapper.engine import Input
from syncline.contracts.change import Change
from syncline.contracts.ref import Ref
from syncline.contracts.replay import Replay
from tests.unit.mapper.test_join import HUB_A, NAMES, A, Mapper, account, config, contact

TWO = {"also": {"from": "sf.Account", "to": "hub.customer", "fields": {"last_name": "Name"}}}


def again(mapper: Mapper, *changes: Change, kept: bool = True, pipelines: Collection[str] = ()) -> None:
    headers = Replay(kept, frozenset(pipelines) or None).headers
    batch = [
        Input(NAMES.replay, 0, n, each.ref.id.encode(), each.encode(), 0, headers) for n, each in enumerate(changes)
    ]
    mapper.take(mapper.records.run(batch, mapper.tables))
    mapper.drain()


def synced(*changes: Change, **more: Any) -> Mapper:
    configured = config()
    pipelines = {**configured.pipelines, **more}
    mapper = Mapper(configured.model_validate({**configured.model_dump(by_alias=True), "pipelines": pipelines}))
    mapper.written(A, HUB_A)
    mapper.change(*changes)
    mapper.drain()
    mapper.commands.clear()
    return mapper


def names(mapper: Mapper) -> list[Any]:
    return [command.fields["name"] for command in mapper.commands]


def test_a_repeat_is_driven_through_and_what_is_stale_falls() -> None:
    first, second = account("A", 1, Name="one"), account("A", 2, Name="two")
    mapper = synced(first, second)
    before = dict(mapper.tables.rows["records"])
    again(mapper, first, second)
    assert names(mapper) == ["two"]
    assert mapper.tables.rows["records"] == before
    assert (mapper.records.counts["replayed"], mapper.records.counts["stale"]) == (1, 1)


def test_of_two_with_the_same_version_the_one_that_came_later_stays() -> None:
    """SystemModstamp has whole seconds: a replay brings both again, the earlier one first."""
    first, second = account("A", 1, Name="one"), account("A", 1, Name="two")
    mapper = synced(first, second)
    again(mapper, first, second)
    assert names(mapper) == ["two", "two"]


def test_what_was_read_from_the_source_just_now_is_news_though_its_version_is_known() -> None:
    """A field that is captured since yesterday changes no SystemModstamp."""
    mapper = synced(account("A", 1, Name="one"))
    again(mapper, replace(account("A", 1, Name="more"), op="snapshot"), kept=False)
    assert names(mapper) == ["more"]
    mapper.change(account("A", 1, Name="more"))
    assert mapper.records.counts["repeated"] == 1


def test_only_the_named_pipeline_writes_a_repeat_again() -> None:
    mapper = synced(account("A", 1), **TWO)
    again(mapper, account("A", 1), pipelines=["also"])
    assert [command.pipeline for command in mapper.commands] == ["also"]


def test_news_are_every_pipelines_or_the_live_change_would_find_them_known() -> None:
    mapper = synced(account("A", 1), **TWO)
    again(mapper, account("A", 2), pipelines=["also"])
    assert sorted(command.pipeline for command in mapper.commands) == ["accounts", "also"]
    mapper.change(account("A", 2))
    assert mapper.records.counts["repeated"] == 1


def test_a_replayed_change_of_a_deleted_record_does_not_make_it_again() -> None:
    mapper = synced(account("A", 1), replace(account("A", 1), op="delete", fields={}))
    again(mapper, account("A", 1))
    assert mapper.commands == []  # the pipeline ignores deletions; an upsert would be the record's return


def test_a_record_that_waits_waits_once() -> None:
    mapper = synced(contact("c", "B"))
    held = set(mapper.tables.rows["held"])
    again(mapper, contact("c", "B"))
    assert (mapper.commands, set(mapper.tables.rows["held"])) == ([], held)
    mapper.written(Ref("sf", "Account", "B"), Ref("hub", "company", "8"))
    assert len(mapper.commands) == 1


def test_an_empty_table_is_filled_from_the_topic() -> None:
    mapper = synced()
    again(mapper, account("A", 1, Name="one"), account("A", 2, Name="two"))
    assert names(mapper) == ["one", "two"]
    mapper.change(account("A", 2, Name="two"))
    assert mapper.records.counts["repeated"] == 1
