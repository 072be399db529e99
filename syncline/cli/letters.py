"""`syncline dead-letters`: what could not become a write, why, and what becomes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncline.cli.running import Since, as_json, configured, limit, printable, reading, run
from syncline.config.model import Config
from syncline.contracts.deadletter import STAGES
from syncline.oncall.desk import Desk, desk, portions
from syncline.oncall.letters import Found, Newest, Selection
from syncline.state.letters import Done
from syncline.timeline.asked import Unknown, candidates

SHOWN = 4000
"""Characters of an input that a person is shown; --json has all."""
NAMED = 100
"""So many letters that were left as they are get named, with why."""

Asked = dict[str, Any]
"""The options by which letters are found."""


def finding(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which letters are found."""
    for option in reversed(
        (
            click.option("--record", metavar="RECORD", help="Of this record: its id, object/id or system/object/id."),
            click.option("--pipeline", help="Of this pipeline."),
            click.option("--code", help="With this code, as the list shows it."),
            click.option("--stage", type=click.Choice(sorted(STAGES)), help="Refused by this service."),
            click.option(
                "--position",
                metavar="TOPIC[/PARTITION[/OFFSET]]",
                help="Whose input came from here, as `show` and the services' logs name it.",
            ),
            click.option("--since", type=Since(), help="No older than 90s, 15m, 2h, 3d, or than a time (UTC)."),
        )
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def letters_commands() -> None:
    """What could not become a write: find it, put it right, retry or drop it."""


@letters_commands.command("list")
@finding
@click.option("--done", is_flag=True, help="Those that were retried or dropped, instead of those that were not.")
@limit
@as_json
def list_letters(done: bool, limit: int, as_json: bool, **asked: Any) -> None:
    """The dead letters that nobody has dealt with, newest first. Letters about the same input are one line."""

    async def go() -> tuple[Newest, int]:
        settings, config = configured()
        selection, newest = _selection(asked, config), Newest(limit)
        async with desk(settings) as at:
            with reading() as progress:
                async for found in at.letters(selection, since=asked["since"], done=done, progress=progress):
                    newest.add(found)
            return newest, at.unreadable

    newest, unreadable = run(go())
    shown = newest.shown
    if as_json:
        kinds = [
            {"stage": stage, "code": code, "pipeline": pipeline, "count": count}
            for (stage, code, pipeline), count in newest.counts.most_common()
        ]
        told = {"count": newest.counts.total(), "unreadable": unreadable, "kinds": kinds}
        click.echo(json.dumps({**told, "dead_letters": [_document(each) for each in shown]}, indent=2))
        return
    if shown:
        Console().print(_table(shown))
    click.echo(_summary(newest, sum(each.times for each in shown), done=done))
    if unreadable:
        click.echo(f"{unreadable:,} messages on the topic are no dead letters and were passed over", err=True)


@letters_commands.command("show")
@click.argument("letter", metavar="ID")
@as_json
def show_letter(letter: str, as_json: bool) -> None:
    """All about one dead letter, and its input as it came.

    What was refused, where, why, what to do about it, and what `retry` would do.
    ID is as the list shows it, like 3/17: its partition and offset on the topic.
    """

    async def go() -> tuple[Found, str]:
        settings, _ = configured()
        async with desk(settings) as at:
            [found] = await at.get([letter])
            try:
                return found, await at.goes_to(found)
            except Unknown as error:
                return found, f"can do nothing: {error}"

    found, retry = run(go())
    if as_json:
        click.echo(json.dumps({**_document(found), "retry": retry, "input": _input(found.letter.input)}, indent=2))
        return
    for name, value in _facts(found, retry).items():
        click.echo(f"{name:<9} {printable(value)}")
    click.echo(f"input     {_readable(found.letter.input)}")


@letters_commands.command("retry")
@click.argument("letters", metavar="[ID]...", nargs=-1)
@finding
@click.option("--yes", is_flag=True, help="Do not ask before all that the options find are retried.")
@as_json
def retry_letters(letters: tuple[str, ...], yes: bool, as_json: bool, **asked: Any) -> None:
    """Send the inputs of dead letters again; they are off the list.

    Put the cause right first. Name letters by ID, or find them by options. A change goes to its changes topic again, a
    command to its commands topic, whichever service refused it; where no input was kept, the poller reads the record
    again. It is safe to repeat: a version that is older than what was applied since changes nothing. What is refused
    again comes back as a new dead letter.
    """

    async def retry(at: Desk, found: Sequence[Found]) -> list[tuple[Found, str | None]]:
        again = [each for each in found if each.mark is None or each.mark.done == "dropped"]
        told = dict(await at.retry(again)) if again else {}
        return [(each, told.get(each, "it was retried before")) for each in found]

    _deal("retry", "retried", retry, letters, asked, yes=yes, as_json=as_json)


@letters_commands.command("drop")
@click.argument("letters", metavar="[ID]...", nargs=-1)
@finding
@click.option("--yes", is_flag=True, help="Do not ask before all that the options find are dropped.")
@as_json
def drop_letters(letters: tuple[str, ...], yes: bool, as_json: bool, **asked: Any) -> None:
    """Take dead letters off the list, and nothing else.

    `list --done` shows them still, and `retry` takes their ids.
    """

    async def drop(at: Desk, found: Sequence[Found]) -> list[tuple[Found, str | None]]:
        fresh = [each for each in found if each.mark is None]
        await at.drop(fresh)
        return [(each, f"it was {each.mark.done} before" if each.mark else None) for each in found]

    _deal("drop", "dropped", drop, letters, asked, yes=yes, as_json=as_json)


def _deal(
    verb: str,
    done: Done,
    deal: Callable[[Desk, Sequence[Found]], Any],
    letters: Sequence[str],
    asked: Asked,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """By id, or all that the options find; what was left as it was is told with why."""
    if bool(letters) == any(value is not None for value in asked.values()):
        raise click.UsageError("name dead letters by ID, or find them by options, one of the two")

    left: list[tuple[str, str]] = []
    unchanged = 0

    async def go() -> int:
        settings, config = configured()
        selection, count = _selection(asked, config), 0
        async with desk(settings) as at:
            if letters:
                return await part(at, await at.get(letters))
            with reading() as progress:
                if not yes:
                    newest = Newest(1)
                    async for found in at.letters(selection, since=asked["since"], progress=progress):
                        newest.add(found)
                    _ask(verb, newest, as_json=as_json)
                async for found in at.letters(selection, since=asked["since"], progress=progress):
                    for portion in portions(found):
                        count += await part(at, portion)
        return count

    async def part(at: Desk, found: Sequence[Found]) -> int:
        nonlocal unchanged
        told = [(each.id, why) for each, why in await deal(at, found)]
        reasons = [(name, why) for name, why in told if why is not None]
        unchanged += len(reasons)
        left.extend(reasons[: NAMED - len(left)])
        return len(told) - len(reasons)

    count = run(go())
    if as_json:
        named = [{"id": name, "why": why} for name, why in left]
        click.echo(json.dumps({done: count, "unchanged": unchanged, "left": named}, indent=2))
        return
    click.echo(f"{count:,} {done}")
    for name, why in left:
        click.echo(f"{name} was left as it is: {printable(why)}", err=True)
    if unchanged > len(left):
        click.echo(f"and {unchanged - len(left):,} more", err=True)


def _ask(verb: str, newest: Newest, *, as_json: bool) -> None:
    if as_json:
        raise click.UsageError("--json asks no questions: add --yes")
    if newest.counts:
        click.echo(_kinds(newest))
        click.confirm(f"{verb} them?", abort=True, err=True)


def _selection(asked: Asked, config: Config) -> Selection:
    record = asked["record"]
    return Selection(
        refs=candidates(record, config) if record else None,
        **{name: asked[name] for name in ("pipeline", "code", "stage", "position")},
    )


def _summary(newest: Newest, shown: int, *, done: bool) -> str:
    count = newest.counts.total()
    if not count:
        return "nothing like this was retried or dropped" if done else "no dead letter waits"
    return f"{_letters(count)}{_kinds(newest) if shown < count else ''}"


def _kinds(newest: Newest) -> str:
    lines = [
        f"  {count:,} {stage}: {printable(code)}{f' in {printable(pipeline)}' if pipeline else ''}"
        for (stage, code, pipeline), count in newest.counts.most_common(20)
    ]
    return "\n".join(["", *lines])


def _letters(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


def _table(found: Sequence[Found]) -> Table:
    table = Table("id", "time (UTC)", "stage", "code", "record, or where the input came from", "pipeline", "why")
    for each in found:
        letter = each.letter
        times = f" ({each.times} times)" if each.times > 1 else ""
        words = (
            each.id,
            f"{each.written:%m-%d %H:%M:%S}{times}",
            letter.stage,
            letter.code,
            letter.ref or letter.position,
            letter.pipeline or "",
            letter.message,
        )
        table.add_row(*(Text(printable(word), overflow="fold") for word in words))
    return table


def _document(found: Found) -> dict[str, Any]:
    letter = found.letter
    return {
        "id": found.id,
        "at": found.written.isoformat(timespec="milliseconds"),
        "times": found.times,
        "stage": letter.stage,
        "code": letter.code,
        "message": letter.message,
        "fields": letter.fields,
        "remedy": letter.remedy,
        "record": letter.ref,
        "pipeline": letter.pipeline,
        "position": letter.position,
        "done": found.mark.done if found.mark else None,
        "done_at": _iso(found.mark.at) if found.mark else None,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds") if at else None


def _facts(found: Found, retry: str) -> dict[str, str]:
    letter = found.letter
    facts = {
        "id": found.id,
        "what": f"{letter.code}, refused by the {letter.stage} on {found.written:%Y-%m-%d %H:%M:%S} UTC",
        "record": letter.ref or "",
        "pipeline": letter.pipeline or "",
        "fields": ", ".join(map(str, letter.fields)),
        "why": letter.message,
        "remedy": letter.remedy,
        "position": letter.position,
        "retry": retry,
        "done": f"{found.mark.done} on {found.mark.at:%Y-%m-%d %H:%M:%S} UTC" if found.mark else "",
    }
    return {name: value for name, value in facts.items() if value}


def _input(raw: bytes | None) -> dict[str, Any] | None:
    """Under the name of what it is: json, text, or base64 for what is neither."""
    if raw is None:
        return None
    try:
        return {"json": orjson.loads(raw)}
    except orjson.JSONDecodeError:
        pass
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _readable(raw: bytes | None) -> str:
    read = _input(raw)
    if read is None:
        return "(not carried along: it was too large, or never a message)"
    [(kind, value)] = read.items()
    text = json.dumps(value, indent=2, ensure_ascii=False) if kind == "json" else value
    lines = "\n".join(map(printable, text.splitlines()))
    return lines if len(lines) <= SHOWN else f"{lines[:SHOWN]}... (--json shows all of it)"
