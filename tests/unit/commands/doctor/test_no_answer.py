"""Why there is no answer: each kind is told from the others, by real sockets, real TLS and real look-ups."""

import datetime as dt
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from sidecar.commands.doctor import no_answer, probes
from sidecar.commands.doctor.no_answer import Kind, NoAnswer
from sidecar.commands.doctor.probes import Outside
from tests.lab import certs


@contextmanager
def listening(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where each connection is handed to `speak`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with closing(connection):
                    try:
                        speak(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def over_tls(certificates: certs.Certificates, *, knows: str = "") -> Callable[[socket.socket], None]:
    """`knows`: the only name that it has a certificate for; another ends with an alert, as Caddy does it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.leaf, certificates.key)

    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR if knows and name != knows else None

    context.sni_callback = choose

    def speak(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            answering(tls)

    return speak


@pytest.fixture
def certificates(tmp_path: Path) -> certs.Certificates:
    return certs.issue(tmp_path / "certs", ["localhost"])


@pytest.fixture
def trusting(certificates: certs.Certificates) -> Outside:
    return Outside(trusted=ssl.create_default_context(cafile=certificates.ca))


def refused(world: Outside, url: str, **how: str) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        world.get(url, **how)  # type: ignore[arg-type] # only `at`
    assert caught.value.url == url
    return caught.value


def test_a_name_without_an_address_is_a_fault_of_dns() -> None:
    error = refused(Outside(), "https://nothing.invalid/")
    assert error.kind in (Kind.NO_ADDRESS, Kind.DNS_DOWN)  # by this machine's own DNS
    assert "nothing.invalid" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"), [(socket.EAI_NONAME, Kind.NO_ADDRESS), (socket.EAI_AGAIN, Kind.DNS_DOWN)]
)
def test_a_name_that_is_not_there_is_told_from_dns_that_is_down(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: Kind
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "it says")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = refused(Outside(), "https://wiki.sidecar.internal/")
    assert error.kind is kind
    assert "certificate" not in f"{error} {error.remedy(ours=True)}"


def test_a_name_that_cannot_be_one_is_a_fault_of_dns() -> None:
    assert refused(Outside(), f"https://{'a' * 64}.net/").kind is Kind.NO_ADDRESS


def test_a_port_where_nothing_listens_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert refused(Outside(), f"https://127.0.0.1:{port}/").kind is Kind.REFUSED


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_servers_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "TIMEOUT", 0.2)
    done = threading.Event()

    def silent(_: socket.socket) -> None:
        done.wait(10)

    with listening(silent) as port:
        error = refused(Outside(), f"http://127.0.0.1:{port}/")
        done.set()
    assert error.kind is Kind.TIMEOUT


def test_an_authority_that_this_system_does_not_know_is_untrusted(certificates: certs.Certificates) -> None:
    with listening(over_tls(certificates)) as port:
        error = refused(Outside(), f"https://localhost:{port}/")
    assert error.kind is Kind.UNTRUSTED
    assert "certificate" in str(error)


def test_a_system_without_a_trust_store_says_so(
    certificates: certs.Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outside, "trust_store", lambda _: "")
    with listening(over_tls(certificates)) as port:
        assert refused(Outside(), f"https://localhost:{port}/").kind is Kind.NO_TRUST_STORE


def test_the_trust_store_is_the_systems_and_not_a_librarys(
    certificates: certs.Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    assert Outside().trust_store() == str(certificates.ca)
    with listening(over_tls(certificates)) as port:
        assert Outside().get(f"https://localhost:{port}/").status == 200
    monkeypatch.setenv("SSL_CERT_FILE", "/none")
    monkeypatch.setenv("SSL_CERT_DIR", "/none")
    assert Outside().trust_store() == ""


def test_a_certificate_for_another_name_is_one(certificates: certs.Certificates, trusting: Outside) -> None:
    with listening(over_tls(certificates)) as port:
        error = refused(trusting, f"https://wiki.sidecar.internal:{port}/", at="127.0.0.1")
        assert error.kind is Kind.WRONG_NAME
        assert refused(trusting, f"https://127.0.0.1:{port}/").kind is Kind.WRONG_NAME


def test_a_certificate_whose_time_is_over_is_one(tmp_path: Path) -> None:
    day = dt.timedelta(days=1)
    old = certs.issue(tmp_path / "old", ["localhost"], valid=(-2 * day, -day))
    with listening(over_tls(old)) as port:
        world = Outside(trusted=ssl.create_default_context(cafile=old.ca))
        assert refused(world, f"https://localhost:{port}/").kind is Kind.EXPIRED


def test_a_server_that_has_no_certificate_for_the_name_is_one(
    certificates: certs.Certificates, trusting: Outside
) -> None:
    with listening(over_tls(certificates, knows="wiki.sidecar.internal")) as port:
        assert refused(trusting, f"https://localhost:{port}/").kind is Kind.NO_CERTIFICATE


def test_plain_http_where_tls_should_be_is_told_from_a_bad_certificate(trusting: Outside) -> None:
    with listening(answering) as port:
        assert refused(trusting, f"https://localhost:{port}/").kind is Kind.NO_TLS


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b""])
def test_another_program_is_told_from_a_web_server(said: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with listening(speak) as port:
        assert refused(Outside(), f"http://127.0.0.1:{port}/").kind is Kind.BROKEN


def test_a_network_without_a_way_there_is_one() -> None:
    error = httpx.ConnectError("x")
    error.__cause__ = OSError(errno.ENETUNREACH, "Network is unreachable")
    found = no_answer.of_request("https://x/", error, trust_store=True)
    assert (found.kind, str(found)) == (Kind.NO_ROUTE, "the connection failed (Network is unreachable)")


def test_tls_that_fails_in_another_way_is_not_called_a_bad_certificate() -> None:
    error = httpx.ConnectError("x")
    error.__cause__ = ssl.SSLError(1, "odd")
    assert no_answer.of_request("https://x/", error, trust_store=True).kind is Kind.BROKEN


def test_at_an_address_the_names_own_sni_host_and_certificate_are_used(
    certificates: certs.Certificates, trusting: Outside
) -> None:
    seen: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.leaf, certificates.key)

    def speak(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            seen.append(tls.recv(65536))
            tls.sendall(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")

    with listening(speak) as port:
        answer = trusting.get(f"https://localhost:{port}/x?y", {"x-user-did": "did:plc:x"}, at="127.0.0.1")
    assert answer.status == 401
    lines = seen[0].decode().lower().split("\r\n")
    assert lines[0] == "get /x?y http/1.1"
    assert f"host: localhost:{port}" in lines
    assert "x-user-did: did:plc:x" in lines


def test_unverified_any_certificate_will_do(certificates: certs.Certificates) -> None:
    with listening(over_tls(certificates)) as port:
        answer = Outside().get(f"https://wiki.sidecar.internal:{port}/", at="127.0.0.1", unverified=True)
    assert answer.status == 200
