"""`syncline contract`: for the people whose systems send to Syncline."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from syncline.cli.running import as_json, configured, printable
from syncline.contracts.errors import SynclineError
from syncline.contracts.foreign.door import Door
from syncline.contracts.foreign.sample import Found, check, remarks


@click.group("contract")
def contract_commands() -> None:
    """What other systems may send."""


@contract_commands.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--object", "named", metavar="SYSTEM.OBJECT", help="Read it as pipelines.yaml says for this object of a stream."
)
@as_json
def check_sample(file: Path, named: str | None, as_json: bool) -> None:
    """Whether Syncline could read the messages in FILE; exit 1 when it could not.

    FILE holds one message's value, or one a line, or what `kcat -C -J -t TOPIC` prints, which shows keys and headers
    too: a Debezium message has its record's id in the key, CloudEvents in binary mode their attributes in headers.
    """
    door = _door(named) if named else None
    found = check(file.read_bytes(), door)
    if not found:
        raise click.ClickException(f"{file} holds no message")
    wrong = sum(each.error is not None for each in found)
    if as_json:
        click.echo(json.dumps({"good": not wrong, "messages": list(map(_document, found))}, indent=2))
    else:
        for each in found:
            click.echo(f"{file}:{each.line}: {'wrong' if each.error else 'ok'}: {printable(remarks(each))}")
        click.echo(f"{len(found)} message{'s' * (len(found) > 1)}, {wrong} wrong")
    sys.exit(1 if wrong else 0)


def _door(named: str) -> Door:
    try:
        _, config = configured()
    except SynclineError as error:
        raise click.ClickException(str(error)) from None
    doors = {f"{door.kind.system}.{door.kind.name}": door for door in config.doors.values()}
    if named not in doors:
        known = ", ".join(sorted(doors)) or "none"
        raise click.ClickException(f"no pipeline reads {named} from a stream; those that are read: {known}")
    return doors[named]


def _document(found: Found) -> dict[str, Any]:
    error, change = found.error, found.change
    if error:
        return {
            "line": found.line,
            "good": False,
            "code": error.code,
            "what": str(error),
            "fields": error.fields,
            "remedy": error.remedy,
        }
    event = json.loads(change.encode()) if change else None
    return {"line": found.line, "good": True, "change": event, "lacks": found.lacks}
