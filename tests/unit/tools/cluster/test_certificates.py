"""Certificates of a cluster: who they name, who vouches for them, who may read their keys."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tools.cluster.certificates import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture
def server(authority: Authority) -> Pair:
    return authority.sign("system:server", organization="system:masters", hosts=["127.0.0.1", "kubernetes.default"])


def test_a_certificate_is_signed_by_the_authority(authority: Authority, server: Pair) -> None:
    certificate(server.certificate).verify_directly_issued_by(certificate(authority.certificate))


def test_a_client_is_the_user_and_the_group_that_kubernetes_reads_from_its_subject(server: Pair) -> None:
    subject = certificate(server.certificate).subject

    names = {attribute.oid: attribute.value for attribute in subject}
    assert names == {NameOID.COMMON_NAME: "system:server", NameOID.ORGANIZATION_NAME: "system:masters"}


def test_a_server_is_valid_under_its_addresses_and_names(server: Pair) -> None:
    hosts = certificate(server.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert [str(address) for address in hosts.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert hosts.get_values_for_type(x509.DNSName) == ["kubernetes.default"]


def test_a_private_key_is_for_its_owner_alone(server: Pair) -> None:
    assert server.key.stat().st_mode & 0o777 == 0o600
