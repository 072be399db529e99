"""The shape of pipelines.yaml. Everything is checked when it is read; the rest of the code meets only valid values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from syncline.config.fields import Conditions, Mapping, OnEmpty, mapping
from syncline.config.strict import Fault, Strict, names, refuse
from syncline.contracts.change import Op
from syncline.contracts.foreign.door import Door, Format
from syncline.contracts.ref import Object, Value
from syncline.runtime.secret import Renewed

OnDelete = Literal["ignore", "unlink", "delete"]


def _object(value: Any) -> Any:
    if isinstance(value, str):
        system, _, name = value.partition(".")
        if not system or not name:
            raise ValueError(f"must be system.object, not {value!r}")
        return Object(system, name)
    return value


ObjectName = Annotated[Object, BeforeValidator(_object, json_schema_input_type=str)]


class Filled(str):
    """Text that a file has a part in; `again` makes it anew. Raises Transient."""

    def __new__(cls, text: str, again: Callable[[], str]) -> Filled:
        made = super().__new__(cls, text)
        made.again = again
        return made

    again: Callable[[], str]


def _renewed(value: Any) -> Any:
    return Renewed(value.again) if isinstance(value, Filled) else value


class ClientCredentials(Strict):
    flow: Literal["client_credentials"]
    client_id: str
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> ClientCredentials:
        if (self.client_secret is None) == (self.client_secret_file is None):
            raise ValueError("give client_secret_file (or client_secret from the environment), exactly one")
        return self


class JwtBearer(Strict):
    flow: Literal["jwt_bearer"]
    client_id: str
    username: str
    private_key_file: Path
    audience: str = "https://login.salesforce.com"


class SalesforceObject(Strict):
    poll_days: float | None = Field(None, ge=0)
    """First run: how many days to look back. Wins over `<object>_poll_days`; 7 when neither is given."""
    counterpart: dict[str, str] = {}
    """System to the external-ID field that holds the id of this record's counterpart there."""


class Poll(BaseModel):
    """Seconds throughout. `account_poll_days`, `contact_poll_days`, ... set an object's first look-back."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, float]

    interval: float = Field(30, gt=0)
    overlap: float = Field(300, ge=0)
    """Read again behind the cursor, for rows that were committed late."""
    lag: float = Field(2, ge=2)
    """Stay behind the server's clock: SystemModstamp has whole seconds, and a second must be over to be read."""

    @model_validator(mode="after")
    def _known(self) -> Poll:
        given = self.__pydantic_extra__ or {}
        refuse(
            ((name,), "unknown; objects' look-backs end in _poll_days")
            if not name.endswith("_poll_days")
            else ((name,), "must not be negative")
            for name, days in given.items()
            if not name.endswith("_poll_days") or days < 0
        )
        return self

    def days(self, name: str) -> float:
        return (self.__pydantic_extra__ or {}).get(f"{name.lower()}_poll_days", 7.0)


class SalesforceSystem(Strict):
    kind: Literal["salesforce"]
    instance: str = "default"
    login_url: str
    auth: ClientCredentials | JwtBearer = Field(discriminator="flow")
    api_version: str | None = Field(None, pattern=r"^\d+\.\d$")
    """None takes the newest that the org offers."""
    ca_file: Path | None = None
    """Trust this certificate too (a proxy's, a simulated org's)."""
    poll: Poll = Poll()
    objects: dict[str, SalesforceObject] = {}

    def poll_days(self, name: str) -> float:
        given = self.objects[name].poll_days if name in self.objects else None
        return self.poll.days(name) if given is None else given


class Embed(Strict):
    """One row of another table that is shown as fields `<embed>.<column>` of its owner (a primary address)."""

    table: str
    owner: str
    """Column that holds the owner's key."""
    where: dict[str, str | bool | int]
    """Columns that tell this row from the owner's others; a unique index must cover them together with `owner`."""
    columns: list[str]


class HubObject(Strict):
    table: str
    """schema.table"""
    key: str = "id"
    counterpart: dict[str, str] = {}
    """System to the unique column that holds the id of this row's counterpart there."""
    embed: dict[str, Embed] = {}


class PostgresSystem(Strict):
    kind: Literal["postgres"]
    instance: str = "default"
    url: Annotated[SecretStr, BeforeValidator(_renewed)]
    """Read anew for each connection where it comes from a file."""
    poll_interval: float = Field(5, gt=0)
    """Seconds between looks at the change log when no notification comes."""
    objects: dict[str, HubObject]


class StreamObject(Strict):
    """A topic that another system fills, of any partition count, with the changes of one object's records."""

    topic: str
    format: Format
    key: Annotated[tuple[str, ...], BeforeValidator(names, json_schema_input_type=str | list[str])] = ()
    """Fields that hold the record's id; else the event's subject does, or Debezium's message key."""
    ops: dict[str, Op] = {}
    """The producer's own CloudEvents types, whose data is the record itself, and what each does to it."""
    counterpart: dict[str, str] = {}
    """System to the field that holds the id of this record's counterpart there."""

    @model_validator(mode="after")
    def _fits(self) -> StreamObject:
        if self.ops and self.format != "cloudevents":
            refuse([(("ops",), "belongs to cloudevents; Debezium says itself what happened")])
        return self


class StreamSystem(Strict):
    """A system that sends its changes by itself; it is neither asked nor written to."""

    kind: Literal["stream"]
    instance: str = "default"
    objects: dict[str, StreamObject]


System = Annotated[SalesforceSystem | PostgresSystem | StreamSystem, Field(discriminator="kind")]


class Parent(Strict):
    """The child waits until the parent is synced by (or into) the other pipeline's target."""

    field: str
    """Target field that takes the parent's target id."""
    from_: str = Field(alias="from")
    pipeline: str
    """The pipeline that syncs the parents; names both their objects."""
    without: Literal["skip", "hold", "write"] = "skip"
    """What becomes of a child that has no parent at all."""


class Reference(Strict):
    """A link to another record that is not waited for: written without it, patched when it is synced."""

    from_: str = Field(alias="from")
    pipeline: str | None = None
    """The pipeline that syncs the referenced records; None is this one."""


def _reference(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


class Deactivate(Strict):
    """A deletion at the source fills these target fields."""

    deactivate: dict[str, Value]


class Pipeline(Strict):
    """One direction between two objects."""

    from_: ObjectName = Field(alias="from")
    to: ObjectName
    parent: Parent | None = None
    references: dict[
        str, Annotated[Reference, BeforeValidator(_reference, json_schema_input_type=str | Reference)]
    ] = {}
    match: list[list[str]] = []
    """Rules in order; each is target fields whose mapped values must all be equal to link instead of create."""
    where: Conditions = {}
    """Only records whose source fields meet this."""
    on_empty: OnEmpty = "keep"
    on_delete: OnDelete | Deactivate = "ignore"
    """What becomes of the target record when the source record is deleted; `unlink` ends the pair and leaves it."""
    delete_limit: int = Field(100, ge=0)
    """So many deletions in an hour happen by themselves; more wait for a person's consent."""
    conflict: str = "latest"
    """Who wins when both sides changed a field: a system's name, `latest` or `review`."""
    fields: dict[str, Annotated[Mapping, BeforeValidator(mapping, json_schema_input_type=str | Mapping)]]

    @cached_property
    def reads(self) -> frozenset[str]:
        """Every source field that the pipeline needs."""
        found = {each for field in self.fields.values() for each in field.inputs}
        found |= {reference.from_ for reference in self.references.values()}
        found |= set(self.where)
        if self.parent:
            found.add(self.parent.from_)
        return frozenset(found)

    @cached_property
    def writes(self) -> frozenset[str]:
        """Every target field that the pipeline may fill."""
        deactivated = self.on_delete.deactivate if isinstance(self.on_delete, Deactivate) else ()
        parent = [self.parent.field] if self.parent else []
        return frozenset({*self.fields, *self.references, *parent, *deactivated})

    @property
    def others(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The pipelines that this one leans on, each with the place that names it."""
        if self.parent:
            yield ("parent", "pipeline"), self.parent.pipeline
        for field, reference in self.references.items():
            if reference.pipeline:
                yield ("references", field, "pipeline"), reference.pipeline


class Config(Strict):
    """The whole of pipelines.yaml."""

    systems: dict[str, System]
    pipelines: dict[str, Pipeline]

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        refuse(
            [
                *self._shared_topics(),
                *(
                    (("pipelines", name, *place), what)
                    for name, pipeline in self.pipelines.items()
                    for place, what in self._faults(pipeline)
                ),
            ]
        )
        return self

    def _shared_topics(self) -> Iterator[Fault]:
        """An event does not say which of two objects it means."""
        seen: dict[str, str] = {}
        for system, described in self.systems.items():
            for name, each in described.objects.items() if isinstance(described, StreamSystem) else ():
                if each.topic in seen:
                    yield ("systems", system, "objects", name, "topic"), f"{seen[each.topic]} has this topic already"
                seen[each.topic] = f"{system}.{name}"

    def _faults(self, pipeline: Pipeline) -> Iterator[Fault]:
        sides = (("from", pipeline.from_), ("to", pipeline.to))
        for side, kind in sides:
            system = self.systems.get(kind.system)
            if system is None:
                yield (side,), f"there is no system {kind.system!r}"
            elif not isinstance(system, SalesforceSystem) and kind.name not in system.objects:
                yield (side,), f"systems.{kind.system} has no object {kind.name!r}"
            elif isinstance(system, StreamSystem) and side == "to":
                yield (side,), f"{kind.system} is a stream, which is only read"
        if pipeline.from_.system == pipeline.to.system:
            yield ("to",), "source and target are the same system"
        for place, other in pipeline.others:
            linked = self.pipelines.get(other)
            if linked is None:
                yield place, f"there is no pipeline {other!r}"
            elif linked.to.system != pipeline.to.system:
                yield place, f"{other} writes to another system"
            elif linked.from_.system != pipeline.from_.system:
                yield place, f"{other} reads from another system"
        winners = {pipeline.from_.system, pipeline.to.system, "latest", "review"}
        policies: list[tuple[tuple[str, ...], str | None]] = [
            (("conflict",), pipeline.conflict),
            *((("fields", field, "conflict"), each.conflict) for field, each in pipeline.fields.items()),
        ]
        for where, policy in policies:
            if policy and policy not in winners:
                yield where, f"cannot be {policy!r}, only {', '.join(sorted(winners))}"
        for number, rule in enumerate(pipeline.match):
            if not rule or set(rule) - set(pipeline.fields):
                yield ("match", number), f"needs mapped fields, not {', '.join(rule) or 'none'}"

    def counterpart(self, kind: Object, system: str) -> str | None:
        """The field of `kind` that holds the id of its counterpart in `system`."""
        owner = self.systems[kind.system]
        described = owner.objects.get(kind.name)
        return described.counterpart.get(system) if described else None

    def reads(self, kind: Object) -> frozenset[str]:
        """The fields of an object that the poller captures: what the pipelines use, and its counterparts' ids."""
        users = [pipeline for pipeline in self.pipelines.values() if pipeline.from_ == kind]
        counterparts = (self.counterpart(kind, pipeline.to.system) for pipeline in users)
        return frozenset().union(*(pipeline.reads for pipeline in users)) | {c for c in counterparts if c}

    @property
    def sources(self) -> list[Object]:
        return sorted({pipeline.from_ for pipeline in self.pipelines.values()})

    @property
    def polled(self) -> list[Object]:
        """The sources that are asked for their changes; the others send theirs."""
        return [kind for kind in self.sources if not isinstance(self.systems[kind.system], StreamSystem)]

    @cached_property
    def doors(self) -> dict[str, Door]:
        """Foreign topic to how it is read, for every stream that a pipeline reads."""
        found = {}
        for kind in self.sources:
            system = self.systems[kind.system]
            if isinstance(system, StreamSystem):
                each = system.objects[kind.name]
                found[each.topic] = Door(
                    format=each.format,
                    kind=kind,
                    instance=system.instance,
                    fields=self.reads(kind),
                    key=each.key,
                    ops=each.ops,
                )
        return found

    @property
    def targets(self) -> list[str]:
        """The systems that are written to."""
        return sorted({pipeline.to.system for pipeline in self.pipelines.values()})
