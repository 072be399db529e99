"""What a process takes from its environment. Everything about the data itself is in pipelines.yaml."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, SecretStr, ValidationError

from syncline.config.kafka import PREFIX, KafkaSettings
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.topics import Names
from syncline.runtime.secret import Renewed, read_file
from syncline.runtime.security import Kafka, reach

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Each field is the variable SYNCLINE_<NAME>, or SYNCLINE_<NAME>_FILE with a path to the value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: Annotated[InstanceOf[Kafka], BeforeValidator(reach)] = Kafka(servers="127.0.0.1:9092")
    """Bootstrap servers, host:port separated by commas; `read` adds what the variables SYNCLINE_KAFKA_* say."""
    database_url: SecretStr = SecretStr("postgresql://127.0.0.1:5432/syncline")
    """PostgreSQL that holds the state schema."""
    pipelines: Path = Path("pipelines.yaml")
    prefix: str = "syncline"
    """Start of every topic and group name."""
    partitions: int = Field(12, ge=1, le=1000)
    """Of every topic; bounds how many mappers and writers can share the work."""
    replication: int = Field(3, ge=1, le=10)
    instance: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """This replica's name in leases, logs and metrics."""
    metrics_port: int = Field(0, ge=0, le=65535)
    """Of /metrics, /live and /ready on `metrics_host`; 0 takes a free one and logs it."""
    metrics_host: str = "127.0.0.1"
    state_dir: Path = Path(".local/mapper")
    """The mapper's RocksDB; may be lost at any time, the changelogs hold the same."""
    log_level: str = Field("info", pattern="^(?i:debug|info|warning|error|critical)$")
    log_format: str = Field("json", pattern="^(json|console)$")
    session_timeout: float = Field(12.0, gt=0)
    """Seconds until the group gives a dead replica's partitions to others."""
    standby_replicas: int = Field(1, ge=0, le=10)
    """So many other mappers follow the tables of each partition, to take it over in moments. A mapper that is alone
    follows nothing; from the second on, each table lies on so many more disks."""
    writer_linger: float = Field(0.5, ge=0)
    """Seconds that the writer waits for a fuller batch; each write call costs quota, so fuller is cheaper."""
    writer_batch: int = Field(2000, ge=1, le=20000)
    """Most commands in one pass of the writer."""
    reject_limit: int = Field(200, ge=1)
    """So many rejects of a pipeline in a row stop the writer instead of draining the topic into the dead letters."""

    @property
    def names(self) -> Names:
        return Names(self.prefix)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Raises Fatal naming every variable that is wrong, all at once, never its value."""
        faults: list[str] = []
        settings = _read(cls, "SYNCLINE_", environ, faults)
        security = _read(KafkaSettings, PREFIX, environ, faults)
        if security:
            faults += security.faults(datetime.now(UTC))
        if faults or not settings or not security:
            raise Fatal(f"the environment is wrong: {'; '.join(faults)}")
        return settings.model_copy(update={"kafka": security.kafka(settings.kafka.servers)})


def _read(model: type[Model], prefix: str, environ: Mapping[str, str], faults: list[str]) -> Model | None:
    """None where `faults` has grown. A secret that lies in a file is read again each time that it is used."""
    values: dict[str, Any] = {}
    before = len(faults)
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if variable in environ:
            values[name] = environ[variable]
        elif path := environ.get(f"{variable}_FILE"):
            read = partial(read_file, path)
            try:
                values[name] = Renewed(read) if field.annotation in (SecretStr, SecretStr | None) else read()
            except Transient as error:
                faults.append(f"{variable}_FILE: {error}")
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        faults += [f"{prefix}{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
    return made if len(faults) == before else None
