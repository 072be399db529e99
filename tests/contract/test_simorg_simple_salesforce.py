"""A foreign client, unchanged, over TLS: what simple-salesforce does with Salesforce it must be able to do here.

Its only help is a session that takes what is meant for login.salesforce.com to the simulated org, as a hosts file
would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

from syncline.simorg import DEMO, Options, Org, Schema, serve

USER = "integration@simorg.example"


class Rerouted(HTTPAdapter):
    """Sends what is meant for Salesforce's login host to the simulated org."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.url = request.url.replace("https://login.salesforce.com", self._url)
        return super().send(request, *args, **kwargs)


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def org(private_key: rsa.RSAPrivateKey) -> Org:
    public = private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Org(Schema.standard(DEMO), options=Options(client_id="app", jwt_public_key=public.decode()))


@pytest.fixture(scope="module")
def served(org: Org, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and certificate; the server runs in a thread of its own, because this client blocks."""
    folder = tmp_path_factory.mktemp("tls")
    ready, addresses = Event(), list[str]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(org, tls=folder) as url:
            addresses.append(url)
            ready.set()
            await stop.wait()

    thread = Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(10)
    yield addresses[0], folder / "cert.pem"
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


LogIn = Callable[[], Salesforce]


@pytest.fixture(scope="module")
def log_in(served: tuple[str, Path], private_key: rsa.RSAPrivateKey) -> Iterator[LogIn]:
    url, certificate = served
    session = requests.Session()
    session.verify = str(certificate)
    session.trust_env = False
    session.mount("https://login.salesforce.com", Rerouted(url))
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    yield lambda: Salesforce(username=USER, consumer_key="app", privatekey=pem, session=session, version="67.0")
    session.close()


@pytest.fixture(scope="module")
def sf(log_in: LogIn) -> Salesforce:
    return log_in()


def test_login_by_jwt_leads_to_the_instance(sf: Salesforce, served: tuple[str, Path]) -> None:
    assert f"https://{sf.sf_instance}" == served[0]


def test_wrong_key_is_refused(served: tuple[str, Path]) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with requests.Session() as session:
        session.verify = str(served[1])
        session.trust_env = False
        session.mount("https://login.salesforce.com", Rerouted(served[0]))
        with pytest.raises(SalesforceAuthenticationFailed, match=r"invalid_grant.*: invalid assertion"):
            Salesforce(username=USER, consumer_key="app", privatekey=pem, session=session)


def test_create_get_update_delete(sf: Salesforce) -> None:
    created = sf.Account.create({"Name": "Life", "BillingCity": "Köln"})
    assert created["success"] is True
    id18 = created["id"]
    assert sf.Account.update(id18, {"Phone": "0221"}) == 204
    record = sf.Account.get(id18)
    assert (record["Name"], record["Phone"], record["BillingAddress"]["city"]) == ("Life", "0221", "Köln")
    assert sf.Account.delete(id18) == 204
    with pytest.raises(SalesforceResourceNotFound):
        sf.Account.get(id18)


def test_upsert_and_read_by_external_id(sf: Salesforce) -> None:
    assert sf.Account.upsert("Hub_Id__c/S-1", {"Name": "Upserted"}) == 201
    assert sf.Account.upsert("Hub_Id__c/S-1", {"Phone": "1"}) == 200
    assert sf.Account.get_by_custom_id("Hub_Id__c", "S-1")["Phone"] == "1"
    assert sf.Contact.create({"LastName": "Child", "Account": {"Hub_Id__c": "S-1"}})["success"] is True
    for name in ("One", "Two"):
        sf.Contact.create({"LastName": name, "Email": "same@x.de"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Contact.get_by_custom_id("Email", "same@x.de")


def test_query_all_goes_through_every_page(sf: Salesforce, org: Org) -> None:
    org.load({"Account": [{"Name": f"Page {number}"} for number in range(4_100)]})
    found = sf.query_all("SELECT Id, Name FROM Account WHERE Name LIKE 'Page %'")
    assert found["totalSize"] == len({record["Id"] for record in found["records"]}) == 4_100


def test_query_including_deleted(sf: Salesforce) -> None:
    id18 = sf.Account.create({"Name": "Gone"})["id"]
    sf.Account.delete(id18)
    soql = f"SELECT Id FROM Account WHERE Id = '{id18}'"
    assert sf.query_all(soql)["totalSize"] == 0
    assert sf.query_all(soql, include_deleted=True)["totalSize"] == 1


def test_errors_are_understood(sf: Salesforce) -> None:
    with pytest.raises(SalesforceMalformedRequest) as caught:
        sf.Contact.create({"FirstName": "No last name"})
    assert caught.value.content == [
        {
            "message": "Required fields are missing: [LastName]",
            "errorCode": "REQUIRED_FIELD_MISSING",
            "fields": ["LastName"],
        }
    ]
    with pytest.raises(SalesforceMalformedRequest, match="MALFORMED_QUERY"):
        sf.query("SELEC Id FROM Account")


def test_describe(sf: Salesforce) -> None:
    described = sf.describe()
    assert described is not None
    assert {"Account", "Contact", "User"} <= {sobject["name"] for sobject in described["sobjects"]}
    assert "Hub_Id__c" in [field["name"] for field in sf.Account.describe()["fields"]]
    assert sf.Account.metadata()["objectDescribe"]["keyPrefix"] == "001"


def test_updated_and_deleted(sf: Salesforce, org: Org) -> None:
    id18 = sf.Account.create({"Name": "Replicated"})["id"]
    now = datetime.now(UTC)
    window = (now - timedelta(minutes=5), now + timedelta(minutes=5))
    assert id18 in sf.Account.updated(*window)["ids"]
    sf.Account.delete(id18)
    assert id18 in [row["id"] for row in sf.Account.deleted(*window)["deletedRecords"]]


def test_usage_and_limits_are_read(sf: Salesforce, org: Org) -> None:
    remaining = sf.limits()["DailyApiRequests"]["Remaining"]
    assert sf.api_usage["api-usage"].total == 100_000
    assert remaining == 100_000 - sf.api_usage["api-usage"].used


def test_expired_session_is_renewed_by_the_client_itself(log_in: LogIn, org: Org) -> None:
    client = log_in()
    before = client.session_id
    org.sessions.end_all()
    assert client.query("SELECT COUNT() FROM User")["totalSize"] == 1
    assert client.session_id != before


def test_session_given_from_outside_expires_for_good(sf: Salesforce, org: Org, served: tuple[str, Path]) -> None:
    with requests.Session() as session:
        session.verify = str(served[1])
        session.trust_env = False
        client = Salesforce(
            instance_url=served[0], session_id=org.sessions.open(org.user_id, org.clock()), session=session
        )
        assert client.query("SELECT COUNT() FROM User")["totalSize"] == 1
        org.sessions.end(client.session_id)
        with pytest.raises(SalesforceExpiredSession):
            client.query("SELECT COUNT() FROM User")
