"""ACM: certificates are issued once their validation records are in the zone, and are protected while a listener uses them."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.x509 import SubjectAlternativeName
from moto.acm import urls
from moto.acm.models import AWSCertificateManagerBackend, CertBundle, acm_backends
from moto.acm.responses import AWSCertificateManagerResponse
from moto.core.exceptions import JsonRESTError
from moto.elbv2.models import elbv2_backends
from moto.route53.models import route53_backends

from . import wiring


class ResourceInUse(JsonRESTError):
    """A listener still uses the certificate."""

    def __init__(self, arn: str):
        super().__init__("ResourceInUseException", f"Certificate {arn} in account is in use.")


def _validation(account: str, domain: str) -> dict[str, str]:
    """The DNS record that validates a domain. As in ACM, it is the same for all certificates of an account."""
    name, value = (hashlib.md5(f"{kind}/{account}/{domain}".encode()).hexdigest() for kind in ("name", "value"))
    return {
        "Name": f"_{name}.{domain.removeprefix('*.')}.",
        "Type": "CNAME",
        "Value": f"_{value}.xlfgrmvvlj.acm-validations.aws.",
    }


def _present(account: str, record: dict[str, str]) -> bool:
    for zone in list(route53_backends[account]["aws"].zones.values()):
        for found in list(zone.rrsets):
            if found.name.rstrip(".") == record["Name"].rstrip(".") and found.type == "CNAME":
                return any(_text(value).rstrip(".") == record["Value"].rstrip(".") for value in found.records)
    return False


def _text(record: Any) -> str:
    return record["Value"] if isinstance(record, dict) else record


class Certificate(CertBundle):
    """moto's certificate, validated by the records in Route 53 instead of by time."""

    account: str = ""
    users: Any = None

    def check(self) -> None:
        if self.type == "AMAZON_ISSUED" and self.status == "PENDING_VALIDATION":
            if all(_present(self.account, _validation(self.account, domain)) for domain in self._domains()):
                self.status = "ISSUED"
            return
        super().check()

    def _domains(self) -> list[str]:
        names = self._cert.extensions.get_extension_for_class(SubjectAlternativeName).value
        return sorted({self.common_name, *(str(name.value) for name in names)})

    def describe(self) -> dict[str, Any]:
        self.in_use_by = self.users(self.arn) if self.users else []
        described = super().describe()
        certificate = described["Certificate"]
        for option in certificate.get("DomainValidationOptions", []):
            option["ResourceRecord"] = _validation(self.account, option["DomainName"])
        if "DomainValidationOptions" in certificate:
            certificate["DomainValidationOptions"].sort(key=lambda option: option["DomainName"])
        if certificate["Status"] == "PENDING_VALIDATION":
            for issued in ("IssuedAt", "NotBefore", "NotAfter", "Serial"):
                certificate.pop(issued, None)
        return described


class Backend(AWSCertificateManagerBackend):
    """moto's backend, which also knows which load balancers use a certificate."""

    def request_certificate(self, *args: Any, **kwargs: Any) -> str:
        arn = super().request_certificate(*args, **kwargs)
        # moto offers no hook for the class of a certificate.
        certificate = self._certificates[arn]
        certificate.__class__ = Certificate
        certificate.account, certificate.users = self.account_id, self.load_balancers_of
        return arn

    def load_balancers_of(self, arn: str) -> list[str]:
        users = []
        for balancer in list(elbv2_backends[self.account_id][self.region_name].load_balancers.values()):
            for listener in balancer.listeners.values():
                if arn in (listener.certificate, *(listener.certificates or [])):
                    users.append(balancer.arn)
        return sorted(set(users))

    def delete_certificate(self, arn: str) -> None:
        if self.load_balancers_of(arn):
            raise ResourceInUse(arn)
        super().delete_certificate(arn)


def install() -> None:
    wiring.use_backend(acm_backends, Backend, urls)
    wiring.route(urls, AWSCertificateManagerResponse)
