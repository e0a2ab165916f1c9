"""Server credentials of gRPC that take renewed certificates: each handshake asks for the newest, connections stay."""

from typing import Any

import grpc

from services.common.tls.certificates import CertificateFiles, Certificates


def server_credentials(files: CertificateFiles, *, mutual: bool) -> grpc.ServerCredentials:
    """`mutual`: whoever connects shows a certificate that the authority of the files has signed."""

    def configuration(found: Certificates) -> grpc.ServerCertificateConfiguration:
        pair = (found.key or b"", found.certificate or b"")
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=found.ca if mutual else None)

    used = files.current()

    def fetch() -> Any:
        """Asked before each handshake, on a thread of gRPC; None, which grpc's types do not know: as before."""
        nonlocal used
        found = files.current()
        if found is used:
            return None
        used = found
        return configuration(found)

    return grpc.dynamic_ssl_server_credentials(configuration(used), fetch, require_client_authentication=mutual)
