"""What the environment says about Kafka: put together when it fits, else told what is missing or has no effect."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from syncline.config.kafka import KafkaSettings
from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal, Transient
from syncline.runtime.security import Password, Tls, TokenEndpoint, TokenFile
from tests.certificates import Authority, put

SCRAM = {
    "SYNCLINE_KAFKA": "broker:9093",
    "SYNCLINE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "SYNCLINE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "SYNCLINE_KAFKA_USERNAME": "ada",
    "SYNCLINE_KAFKA_PASSWORD": "hush",
}
OAUTH = {
    "SYNCLINE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "SYNCLINE_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
}
ENDPOINT = {
    "SYNCLINE_KAFKA_OAUTH_TOKEN_URL": "https://login.example/token",
    "SYNCLINE_KAFKA_OAUTH_CLIENT_ID": "syncline",
    "SYNCLINE_KAFKA_OAUTH_CLIENT_SECRET": "hush",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Of a client certificate and its authority."""
    authority = Authority("ours")
    pair = authority.issue("ada")
    return {
        "SYNCLINE_KAFKA_SECURITY_PROTOCOL": "SSL",
        "SYNCLINE_KAFKA_CA_FILE": str(put(tmp_path / "ca.crt", authority.pem)),
        "SYNCLINE_KAFKA_CERTIFICATE_FILE": str(put(tmp_path / "user.crt", pair.certificate)),
        "SYNCLINE_KAFKA_KEY_FILE": str(put(tmp_path / "user.key", pair.key)),
    }


def test_nothing_said_is_plain_text_without_login() -> None:
    kafka = Settings.read({}).kafka
    assert (kafka.servers, kafka.protocol, kafka.tls, kafka.login) == ("127.0.0.1:9092", "PLAINTEXT", None, None)


def test_user_and_password() -> None:
    kafka = Settings.read(SCRAM).kafka
    assert (kafka.protocol, kafka.tls) == ("SASL_SSL", Tls())
    assert kafka.login == Password(mechanism="SCRAM-SHA-512", username=SecretStr("ada"), password=SecretStr("hush"))


def test_a_password_in_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    given = {name: each for name, each in SCRAM.items() if not name.endswith("PASSWORD")}
    path = put(tmp_path / "password", "old\n")
    login = Settings.read({**given, "SYNCLINE_KAFKA_PASSWORD_FILE": str(path)}).kafka.login
    assert isinstance(login, Password)
    assert login.password.get_secret_value() == "old"
    put(path, "new\n")
    assert login.password.get_secret_value() == "new"
    path.unlink()
    with pytest.raises(Transient, match=f"cannot read {path}"):
        login.password.get_secret_value()


def test_a_client_certificate(files: dict[str, str]) -> None:
    kafka = Settings.read(files).kafka
    assert kafka.protocol == "SSL"
    assert kafka.tls == Tls(
        ca=Path(files["SYNCLINE_KAFKA_CA_FILE"]),
        certificate=Path(files["SYNCLINE_KAFKA_CERTIFICATE_FILE"]),
        key=Path(files["SYNCLINE_KAFKA_KEY_FILE"]),
    )


def test_tokens_from_an_endpoint_and_from_a_file(tmp_path: Path) -> None:
    login = Settings.read({**OAUTH, **ENDPOINT, "SYNCLINE_KAFKA_OAUTH_SCOPE": "kafka"}).kafka.login
    assert isinstance(login, TokenEndpoint)
    assert (login.url, login.client_id, login.scope) == ("https://login.example/token", "syncline", "kafka")
    path = put(tmp_path / "token", "abc")
    login = Settings.read({**OAUTH, "SYNCLINE_KAFKA_OAUTH_TOKEN_FILE": str(path)}).kafka.login
    assert login == TokenFile(path=path)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {**SCRAM, "SYNCLINE_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
            "SYNCLINE_KAFKA_PASSWORD: has no effect: PLAINTEXT",
        ),
        ({**SCRAM, "SYNCLINE_KAFKA_SECURITY_PROTOCOL": "SSL"}, "SYNCLINE_KAFKA_SASL_MECHANISM: has no effect: SSL"),
        ({"SYNCLINE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "SYNCLINE_KAFKA_SASL_MECHANISM: is missing: SASL_SSL needs"),
        (
            {each: value for each, value in SCRAM.items() if not each.endswith("USERNAME")},
            "SYNCLINE_KAFKA_USERNAME: is missing: SCRAM-SHA-512 needs it",
        ),
        (OAUTH, "SYNCLINE_KAFKA_OAUTH_TOKEN_URL: is missing: OAUTHBEARER needs it"),
        (
            {**OAUTH, **ENDPOINT, "SYNCLINE_KAFKA_OAUTH_TOKEN_FILE": "/token"},
            "SYNCLINE_KAFKA_OAUTH_TOKEN_URL: has no effect",
        ),
        ({**SCRAM, "SYNCLINE_KAFKA_OAUTH_SCOPE": "x"}, "SYNCLINE_KAFKA_OAUTH_SCOPE: has no effect"),
        (
            {**OAUTH, **ENDPOINT, "SYNCLINE_KAFKA_OAUTH_TOKEN_URL": "http://login.example/token"},
            "SYNCLINE_KAFKA_OAUTH_TOKEN_URL: must be https",
        ),
        ({**SCRAM, "SYNCLINE_KAFKA_CERTIFICATE_FILE": "/user.crt"}, "SYNCLINE_KAFKA_KEY_FILE: is missing"),
        ({**SCRAM, "SYNCLINE_KAFKA_KEY_FILE": "/user.key"}, "SYNCLINE_KAFKA_CERTIFICATE_FILE: is missing"),
        (
            {**SCRAM, "SYNCLINE_KAFKA_CA_FILE": "/absent/ca.crt"},
            "cannot read /absent/ca.crt: No such file or directory",
        ),
        ({**OAUTH, "SYNCLINE_KAFKA_OAUTH_TOKEN_FILE": "/absent"}, "cannot read /absent"),
        ({**SCRAM, "SYNCLINE_KAFKA_SASL_MECHANISM": "hush"}, "SYNCLINE_KAFKA_SASL_MECHANISM: Input should be 'PLAIN'"),
    ],
)
def test_what_does_not_fit_is_told_with_the_next_step(given: dict[str, str], told: str) -> None:
    with pytest.raises(Fatal) as caught:
        Settings.read(given)
    assert told in str(caught.value)
    assert "hush" not in str(caught.value)


def test_files_that_cannot_be_used_are_told_at_the_start(files: dict[str, str], tmp_path: Path) -> None:
    other = Authority("other").issue("ada")
    old = Authority("ours").issue("ada", until=timedelta(hours=-1))
    for name, content, told in [
        ("user.crt", old.certificate, "the certificate expired on "),
        ("user.key", other.key, f"is not the key of {tmp_path / 'user.crt'}"),
        ("user.key", b"hush", "holds no private key in PEM"),
        ("ca.crt", b"hush", "holds no certificate in PEM"),
    ]:
        before = (tmp_path / name).read_bytes()
        put(tmp_path / name, content)
        with pytest.raises(Fatal) as caught:
            Settings.read(files)
        assert f"{tmp_path / name}: {told}" in str(caught.value)
        assert "hush" not in str(caught.value)
        put(tmp_path / name, before)
    Settings.read(files)


def test_no_secret_shows(tmp_path: Path) -> None:
    put(tmp_path / "password", "hush")
    shown = [
        Settings.read(SCRAM),
        Settings.read({**OAUTH, **ENDPOINT}),
        KafkaSettings(password=SecretStr("hush")),
        Settings.read({**SCRAM, "SYNCLINE_KAFKA_USERNAME": "hush"}).kafka,
    ]
    for each in shown:
        assert "hush" not in f"{each} {each!r}"
    assert str(Settings.read(SCRAM).kafka) == "broker:9093"
