"""What the environment says about Kafka, put together and checked: nothing missing, nothing that has no effect, and
every file there and in force."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from syncline.contracts.errors import Transient
from syncline.runtime import tls
from syncline.runtime.secret import read_file
from syncline.runtime.security import PASSWORDS, TOKENS, Kafka, Login, Password, Tls, TokenEndpoint, TokenFile

PREFIX = "SYNCLINE_KAFKA_"
_TLS = {"ca_file", "certificate_file", "key_file"}
_PASSWORD = {"username", "password"}
_ENDPOINT = {"oauth_token_url", "oauth_client_id", "oauth_client_secret"}


class KafkaSettings(BaseModel):
    """Each field is the variable SYNCLINE_KAFKA_<NAME>. Files are read anew for each connection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    ca_file: Path | None = None
    """PEM: the authorities that brokers' certificates are signed by; None trusts those that the machine trusts."""
    certificate_file: Path | None = None
    """PEM: the client's own, with the intermediate ones behind it."""
    key_file: Path | None = None
    """PEM, not encrypted."""
    username: SecretStr | None = None
    password: SecretStr | None = None
    oauth_token_file: Path | None = None
    """A token that somebody else keeps fresh."""
    oauth_token_url: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: SecretStr | None = None
    oauth_scope: str | None = None
    oauth_ca_file: Path | None = None
    """PEM: who has signed the token endpoint's certificate; None trusts those that the machine trusts."""

    def kafka(self, servers: str) -> Kafka:
        """Of settings without `faults`."""
        encrypted = self.security_protocol.endswith("SSL")
        own = Tls(ca=self.ca_file, certificate=self.certificate_file, key=self.key_file)
        return Kafka(servers=servers, tls=own if encrypted else None, login=self._login())

    def _login(self) -> Login | None:
        if self.sasl_mechanism is None:
            return None
        if self.username is not None and self.password is not None:
            return Password(mechanism=self.sasl_mechanism, username=self.username, password=self.password)
        if self.oauth_token_file is not None:
            return TokenFile(path=self.oauth_token_file)
        assert self.oauth_token_url is not None, "checked by `faults`"
        assert self.oauth_client_id is not None
        assert self.oauth_client_secret is not None
        return TokenEndpoint(
            url=self.oauth_token_url,
            client_id=self.oauth_client_id,
            client_secret=self.oauth_client_secret,
            scope=self.oauth_scope,
            tls=Tls(ca=self.oauth_ca_file),
        )

    def faults(self, now: datetime) -> Iterator[str]:
        """Each names its variable and says what to do. What is missing or has no effect comes alone: the files of
        settings that contradict each other are not looked at."""
        found = list(self._missing_and_useless())
        yield from found
        if found:
            return
        if self.security_protocol.endswith("SSL"):
            own = Tls(ca=self.ca_file, certificate=self.certificate_file, key=self.key_file)
            yield from (f"{PREFIX}*_FILE: {each}" for each in tls.faults(own, now))
        yield from (f"{PREFIX}OAUTH_CA_FILE: {each}" for each in tls.faults(Tls(ca=self.oauth_ca_file), now))
        if self.oauth_token_file:
            try:
                read_file(self.oauth_token_file)
            except Transient as error:
                yield f"{PREFIX}OAUTH_TOKEN_FILE: {error}"

    def _missing_and_useless(self) -> Iterator[str]:
        protocol, mechanism = self.security_protocol, self.sasl_mechanism
        given = {name for name in self.model_fields_set if getattr(self, name) is not None} - {"security_protocol"}
        useful = set(_TLS) if protocol.endswith("SSL") else set()
        if ("certificate_file" in given) != ("key_file" in given):
            alone, other = ("CERTIFICATE", "KEY") if "certificate_file" in given else ("KEY", "CERTIFICATE")
            yield f"{PREFIX}{other}_FILE: is missing: {PREFIX}{alone}_FILE has no use without it"
        if protocol.startswith("SASL"):
            useful.add("sasl_mechanism")
            needed: set[str] = set()
            if mechanism is None:
                yield f"{PREFIX}SASL_MECHANISM: is missing: {protocol} needs one of {', '.join((*PASSWORDS, TOKENS))}"
                useful |= _PASSWORD | _ENDPOINT | {"oauth_scope", "oauth_ca_file", "oauth_token_file"}
            elif mechanism in PASSWORDS:
                needed = _PASSWORD
            elif "oauth_token_file" in given:
                needed = {"oauth_token_file"}
            else:
                needed = _ENDPOINT
                useful |= {"oauth_scope", "oauth_ca_file"}
            useful |= needed
            yield from (f"{_variable(each)}: is missing: {mechanism} needs it" for each in sorted(needed - given))
        choice = f"{protocol} with {mechanism}" if protocol.startswith("SASL") and mechanism else protocol
        for each in sorted(given - useful):
            yield f"{_variable(each)}: has no effect: {choice} does not use it; remove it, or choose otherwise"
        if self.oauth_token_url and urlsplit(self.oauth_token_url).scheme != "https":
            yield f"{PREFIX}OAUTH_TOKEN_URL: must be https: the client secret is sent there"


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"
