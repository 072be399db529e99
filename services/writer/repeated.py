"""Commands that tell nothing new, pure. A replay is made of them, so they are known by the stored link alone, before
any value is brought into the target's form."""

from __future__ import annotations

from services.writer.merge import UNKNOWN, same
from syncline.contracts.command import Command
from syncline.contracts.link import Link


def repeated(command: Command, link: Link | None) -> bool:
    """True only where the whole way would end as `unchanged`, with the link as it is: the version is the one that was
    applied, every value of the source is the known one, and every field was met. A value that comes from no source
    field is compared as it is; one that differs merely in form goes the whole way."""
    if link is None or link.ended or link.paused or command.op != "upsert":
        return False
    source, target = link.source, link.target
    if command.version != source.version or source.contested:
        return False
    known, met = source.known, target.known
    for name, value in command.seen.items():
        if not same(known.get(name, UNKNOWN), value):
            return False
    for field, value in command.fields.items():
        if command.inputs[field]:
            if field not in met and field not in target.contested:
                return False
        elif not same(met.get(field, UNKNOWN), value):
            return False
    return True
