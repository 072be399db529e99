"""What must not reach a log does not, at any depth, whoever logs it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.runtime.logs import redact


def shown(**event: Any) -> dict[str, Any]:
    return redact(None, "info", event)


@pytest.mark.parametrize(
    "name", ["client_secret", "password", "access_token", "assertion", "Authorization", "DATABASE_URL", "dsn"]
)
def test_what_goes_under_a_secret_name_is_hidden(name: str) -> None:
    assert shown(**{name: "hush"}) == {name: "[hidden]"}
    assert shown(**{name: {"any": ["hush"]}}) == {name: "[hidden]"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://ada:hush@db:5432/hub", "postgresql://ada:[hidden]@db:5432/hub"),
        ("postgresql://ada:hu@sh@db/hub", "postgresql://ada:[hidden]@db/hub"),
        ("amqp://:hush@queue", "amqp://:[hidden]@queue"),
        ("no way to a://b:hush@c, nor to d://e:hush@f", "no way to a://b:[hidden]@c, nor to d://e:[hidden]@f"),
        ("postgresql://db/hub?user=ada&password=hush&x=1", "postgresql://db/hub?user=ada&password=[hidden]&x=1"),
        ("grant_type=x&client_secret=hush&assertion=hush", "grant_type=x&client_secret=[hidden]&assertion=[hidden]"),
        ("Authorization: Bearer hush!hush.hush", "Authorization: Bearer [hidden]"),
    ],
)
def test_secrets_inside_a_text_are_hidden(text: str, left: str) -> None:
    assert shown(event=text) == {"event": left}


@pytest.mark.parametrize(
    "text",
    [
        "https://acme.my.salesforce.com/services/data",
        "127.0.0.1:9092",
        "ada@mail.example at 10:30",
        "http://db:5432/a@b",
        "postgresql://ada@db/hub",
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert shown(event=text) == {"event": text}


def test_nothing_hides_in_depth() -> None:
    url = "postgresql://ada:hush@db/hub"
    event = shown(
        request={"headers": {"Authorization": "hush", "Accept": "json"}, "urls": [url, (url, {"password": "hush"})]},
        tried={url},
        why=ConnectionError(f"cannot reach {url}"),
        raw=b"password=hush",
    )
    assert "hush" not in str(event)
    assert event["request"]["headers"]["Accept"] == "json"
    assert event["request"]["urls"][0] == "postgresql://ada:[hidden]@db/hub"
    assert event["why"] == "ConnectionError('cannot reach postgresql://ada:[hidden]@db/hub')"


def test_what_was_given_is_left_as_it_is() -> None:
    request = {"headers": {"Authorization": "hush"}}
    shown(request=request)
    assert request == {"headers": {"Authorization": "hush"}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["count", "rows"]), inner),
)


@given(json_values)
def test_values_that_hold_no_text_stay_as_they_are(value: Any) -> None:
    assert shown(value=value) == {"value": value}


PROGRAM = """
import logging
import structlog
from syncline.runtime.logs import configure

configure(service="writer", instance="w-0", level="info", format={format!r})
log = structlog.get_logger()
log.debug("not shown")
log.info("started", url="postgresql://ada:hush@db/hub", each={{"token": "hush"}})
logging.getLogger("aiokafka").error("cannot reach %s", "a://b:hush@c")
try:
    raise ValueError("no way to a://b:hush@c")
except ValueError:
    log.exception("failed")
    logging.getLogger("asyncio").exception("task died")
"""


def told(format: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(format=format)], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "hush" not in done.stderr
    return done.stderr


def test_a_process_logs_one_object_a_line_the_libraries_too() -> None:
    started, library, failed, died = map(json.loads, told("json").splitlines())
    assert started["event"] == "started"
    assert started["url"] == "postgresql://ada:[hidden]@db/hub"
    assert started["each"] == {"token": "[hidden]"}
    assert library["event"] == "cannot reach a://b:[hidden]@c"
    assert failed["exception"].endswith("ValueError: no way to a://b:[hidden]@c")
    assert died["exception"].endswith("ValueError: no way to a://b:[hidden]@c")
    assert {(each["service"], each["instance"]) for each in (started, library, failed, died)} == {("writer", "w-0")}
    assert [each["level"] for each in (started, library, failed, died)] == ["info", "error", "error", "error"]


def test_a_person_gets_text() -> None:
    text = told("console")
    assert "started" in text
    assert "[hidden]" in text
    assert "not shown" not in text


def test_what_libraries_say_while_debugging_is_not_logged_at_any_level() -> None:
    """aiokafka would tell each request, that with the password or the token among them."""
    program = (
        "import logging; from syncline.runtime import logs;"
        "logs.configure(service='writer', instance='w-0', level='debug', format='json');"
        "logging.getLogger('aiokafka.conn').debug('Request: hush')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
