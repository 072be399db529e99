"""One simulated Salesforce org: everything but HTTP.

State is in memory. The clock and the dice are given, so a test can move time and repeat a run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from secrets import token_urlsafe

from syncline.simorg.auth import App, Sessions, TokenEndpoint
from syncline.simorg.collections import Collections
from syncline.simorg.cursors import MAX_PAGE, Cursors
from syncline.simorg.dml import Change, Dml
from syncline.simorg.drafts import sobject_named
from syncline.simorg.errors import locked
from syncline.simorg.faults import Fault, Faults
from syncline.simorg.ids import sequence
from syncline.simorg.limits import ApiUsage
from syncline.simorg.metadata import Json, Schema
from syncline.simorg.seeding import Loader, Rows
from syncline.simorg.soql.evaluate import Answer, evaluate
from syncline.simorg.stats import Stats
from syncline.simorg.store import Record, Store
from syncline.simorg.times import stamp

Clock = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What differs from org to org."""

    client_id: str = "simorg"
    client_secret: str = field(default_factory=token_urlsafe, repr=False)
    jwt_public_key: str | None = None
    """PEM of the certificate's key that JWT bearer assertions are signed with."""
    username: str = "integration@simorg.example"
    """The user that both login flows act as; an email address in form, as every Salesforce username is."""
    org_id: str = "00D5e0000009zXyEAI"
    session_idle: timedelta = timedelta(hours=2)
    quota: int = 100_000
    """API requests in 24 hours."""
    page_size: int = MAX_PAGE
    """Most rows on a page of a query; smaller makes paging cheap to test."""
    latency: float = 0.0
    """Seconds that each call takes at least."""
    latency_jitter: float = 0.0
    """Seconds that are added at random, at most."""
    faults: tuple[Fault, ...] = ()
    allow_parent_cycles: bool = False
    """Salesforce refuses circular hierarchies; data that comes from elsewhere may hold one."""
    nulls_last_on_desc: bool = False
    """Where empty values go under ORDER BY … DESC without NULLS: orgs are reported to differ from the reference."""


@dataclass(slots=True)
class Latency:
    """In seconds; can be changed while the org runs."""

    least: float
    jitter: float
    dice: Random = field(repr=False)

    def draw(self) -> float:
        return self.least + (self.dice.uniform(0, self.jitter) if self.jitter else 0.0)


class Org:
    """The parts of one org, wired together."""

    def __init__(
        self,
        schema: Schema | None = None,
        *,
        clock: Clock | None = None,
        rng: Random | None = None,
        options: Options | None = None,
    ) -> None:
        self.schema = schema or Schema.standard()
        self.options = options or Options()
        self.clock: Clock = clock or (lambda: datetime.now(UTC))
        dice = rng or Random()  # noqa: S311 - dice for faults, not secrets
        self.store = Store(self.schema)
        self.dml = Dml(self.schema, self.store, allow_parent_cycles=self.options.allow_parent_cycles)
        self.collections = Collections(self.schema, self.store, self.dml)
        self.cursors = Cursors(self.options.page_size)
        self.sessions = Sessions(self.options.org_id, self.options.session_idle)
        self.usage = ApiUsage(self.options.quota)
        self.faults = Faults(dice, self.options.faults)
        self.latency = Latency(self.options.latency, self.options.latency_jitter, dice)
        self.stats = Stats()
        self._loader = Loader(self.schema, self.store, self.dml)
        self.user_id = self._add_user()
        self.login = TokenEndpoint(
            App(self.options.client_id, self.options.client_secret, self.options.jwt_public_key),
            self.sessions,
            self.options.org_id,
            self.user_id,
            self._user_named,
        )

    def alter(self, name: str, change: Json, *, without: Collection[str] = ()) -> None:
        """See `Schema.alter`."""
        self.schema.alter(name, change, without=without)
        self.store.table(name).forget_indexes()

    def change(self, user_id: str) -> Change:
        """A write request of that user, now."""
        return Change(user_id, stamp(self.clock()), self._lock_row)

    def query(self, soql: str, *, include_deleted: bool = False) -> Answer:
        return evaluate(
            soql,
            self.schema,
            self.store,
            self.clock(),
            include_deleted=include_deleted,
            nulls_last_on_desc=self.options.nulls_last_on_desc,
        )

    def load(self, rows: Rows) -> dict[str, list[str]]:
        """Puts rows by object straight into the store; see `seeding`."""
        return self._loader.load(rows, actor=self.user_id, at=stamp(self.clock()))

    def records(self, object_name: str) -> list[Record]:
        """Every record of the object with its non-empty fields, deleted ones included."""
        return list(self.store.table(sobject_named(self.schema, object_name)).all())

    def _lock_row(self, id18: str) -> None:
        rule = self.faults.strike("lock_row", "write")
        if rule is not None:
            raise locked(rule.status or 400, [id18])

    def _add_user(self) -> str:
        user = self.schema.sobject("User")
        if user is None:
            raise ValueError("the schema has no User: logins, owners and audit fields need one")
        user_id = next(sequence(user.prefix))
        wanted = {
            "Id": user_id,
            "Username": self.options.username,
            "LastName": "Integration",
            "Email": self.options.username,
        }
        known = {name: value for name, value in wanted.items() if user.field(name)} | {"IsActive": True}
        row = known | {"CreatedById": user_id, "LastModifiedById": user_id}
        self._loader.load({"User": [row]}, actor=user_id, at=stamp(self.clock()))
        return user_id

    def _user_named(self, username: str) -> str | None:
        user = self.schema.sobject("User")
        name = user.field("Username") if user else None
        ids = self.store.table("User").find_alive(name, username) if name else ()
        return ids[0] if ids else None
