"""Which records a person may mean by what they typed, and how records of several systems are one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from syncline.config.model import Config, SalesforceSystem
from syncline.contracts.errors import SynclineError
from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref

SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
SHORT = re.compile(r"[0-9A-Za-z]{15}")


class Unknown(SynclineError):
    """What was typed names no record, or more than one."""


def kinds(config: Config) -> list[Object]:
    """Every object that a pipeline reads or writes."""
    return sorted({side for each in config.pipelines.values() for side in (each.from_, each.to)})


def candidates(asked: str, config: Config) -> list[Ref]:
    """The most exact reading counts: `system/object/id`, then `object/id`, then an id of any object. Raises Unknown.

    Ids may hold slashes, so that only a known object's name is taken for one.
    """
    known = kinds(config)
    exact = [(kind, asked.removeprefix(f"{kind}/")) for kind in known if asked.startswith(f"{kind}/")]
    named = [(kind, asked.removeprefix(f"{kind.name}/")) for kind in known if asked.startswith(f"{kind.name}/")]
    chosen = exact or named or [(kind, asked) for kind in known]
    found = [Ref(*kind, _stored(typed, kind, config)) for kind, typed in chosen if typed]
    if not found:
        raise Unknown(f"{asked!r} names no record: give an id, object/id or system/object/id")
    return found


def _stored(typed: str, kind: Object, config: Config) -> str:
    """Events carry Salesforce's ids with 18 characters, reports and old links show 15.

    The other three hold a bit for each capital letter of the first 15 (Object Reference, "Field Types", ID).
    """
    if not (isinstance(config.systems[kind.system], SalesforceSystem) and SHORT.fullmatch(typed)):
        return typed
    fives = (typed[at : at + 5] for at in (0, 5, 10))
    return typed + "".join(SUFFIX[sum(1 << bit for bit, each in enumerate(five) if each.isupper())] for five in fives)


def one(refs: Iterable[Ref], links: Sequence[Link]) -> list[frozenset[Ref]]:
    """What links join is one record; each group holds its names in every system."""
    groups = {ref: {ref} for ref in refs}
    for link in links:
        joined = groups.get(link.source.ref, {link.source.ref}) | groups.get(link.target.ref, {link.target.ref})
        groups |= dict.fromkeys(joined, joined)
    return list(dict.fromkeys(frozenset(group) for group in groups.values()))
