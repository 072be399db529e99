"""The environment: every fault at once by the variable's name, its value never; what is not given has a default."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal
from syncline.runtime.security import Kafka


def test_the_defaults() -> None:
    settings = Settings.read({})
    assert dict(settings) == {
        "kafka": Kafka(servers="127.0.0.1:9092"),
        "instance": settings.instance,
        "database_url": SecretStr("postgresql://127.0.0.1:5432/syncline"),
        "pipelines": Path("pipelines.yaml"),
        "prefix": "syncline",
        "partitions": 12,
        "replication": 3,
        "metrics_port": 0,
        "metrics_host": "127.0.0.1",
        "state_dir": Path(".local/mapper"),
        "log_level": "info",
        "log_format": "json",
        "session_timeout": 12.0,
        "standby_replicas": 1,
        "writer_linger": 0.5,
        "writer_batch": 2000,
        "reject_limit": 200,
    }
    assert settings.names.results == "syncline.results"


def test_each_process_has_an_instance_of_its_own_unless_it_is_told_one() -> None:
    assert Settings.read({}).instance != ""
    assert Settings.read({"SYNCLINE_INSTANCE": "writer-0"}).instance == "writer-0"


def test_every_fault_is_named_at_once_and_no_value_is_shown(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(Fatal) as caught:
        Settings.read(
            {
                "SYNCLINE_PARTITIONS": "hush1",
                "SYNCLINE_REPLICATION": "0",
                "SYNCLINE_LOG_FORMAT": "hush2",
                "SYNCLINE_LOG_LEVEL": "hush3",
                "SYNCLINE_WRITER_LINGER": "-1",
                "SYNCLINE_DATABASE_URL_FILE": str(tmp_path / "absent"),
                "SYNCLINE_KAFKA_FILE": str(tmp_path / "binary"),
            }
        )
    told = str(caught.value)
    assert "hush" not in told
    assert [fault.split(":")[0] for fault in told.removeprefix("the environment is wrong: ").split("; ")] == [
        "SYNCLINE_KAFKA_FILE",
        "SYNCLINE_DATABASE_URL_FILE",
        "SYNCLINE_PARTITIONS",
        "SYNCLINE_REPLICATION",
        "SYNCLINE_LOG_LEVEL",
        "SYNCLINE_LOG_FORMAT",
        "SYNCLINE_WRITER_LINGER",
    ]
    assert f"cannot read {tmp_path / 'absent'}: No such file or directory" in told


def test_a_value_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://ada:hush@db/state\n")
    settings = Settings.read({"SYNCLINE_DATABASE_URL_FILE": str(path), "SYNCLINE_PARTITIONS": "3"})
    assert settings.database_url.get_secret_value() == "postgresql://ada:hush@db/state"
    assert settings.partitions == 3


def test_the_variable_itself_wins_over_its_file(tmp_path: Path) -> None:
    given = {"SYNCLINE_PREFIX": "mine", "SYNCLINE_PREFIX_FILE": str(tmp_path / "absent")}
    assert Settings.read(given).prefix == "mine"


@pytest.mark.parametrize("level", ["debug", "info", "WARNING", "Error", "critical"])
def test_the_levels_of_logs(level: str) -> None:
    assert Settings.read({"SYNCLINE_LOG_LEVEL": level}).log_level == level


def test_secrets_do_not_show() -> None:
    settings = Settings.read({"SYNCLINE_DATABASE_URL": "postgresql://ada:hush@db/state"})
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


def test_what_is_not_ours_is_left_alone() -> None:
    assert Settings.read({"PATH": "/bin", "SYNCLINE_HUB_URL": "x"}) == Settings.read(
        {"SYNCLINE_INSTANCE": Settings.read({}).instance}
    )


def test_the_database_url_in_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://ada:old@db/state")
    settings = Settings.read({"SYNCLINE_DATABASE_URL_FILE": str(path)})
    path.write_text("postgresql://ada:hush@db/state")
    assert settings.database_url.get_secret_value() == "postgresql://ada:hush@db/state"
    assert "hush" not in repr(settings)
