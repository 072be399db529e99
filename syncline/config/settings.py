"""What a process takes from its environment. Everything about the data itself is in pipelines.yaml."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from syncline.contracts.errors import Fatal
from syncline.contracts.topics import Names


class Settings(BaseModel):
    """Each field is the variable SYNCLINE_<NAME>; those that end in `_file` hold a path to the value instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, host:port separated by commas."""
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
        values: dict[str, str] = {}
        faults: list[str] = []
        for name in cls.model_fields:
            variable = f"SYNCLINE_{name.upper()}"
            if variable in environ:
                values[name] = environ[variable]
            elif path := environ.get(f"{variable}_FILE"):
                try:
                    values[name] = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    faults.append(f"{variable}_FILE: cannot read {path}: {error.strerror}")
                except UnicodeDecodeError:
                    faults.append(f"{variable}_FILE: cannot read {path}: it is not UTF-8 text")
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            faults += [f"SYNCLINE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        if faults:
            raise Fatal(f"the environment is wrong: {'; '.join(faults)}")
        return settings
