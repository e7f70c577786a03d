"""Tenants, domains and accounts for a test, made through the admin API."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from .service import Service


@dataclass(frozen=True)
class Tenant:
    """A tenant with one domain; `add` makes an account in it and gives back its address."""

    service: Service
    slug: str
    password: str = "correct horse battery staple"

    @property
    def domain(self) -> str:
        return f"{self.slug}.test"

    def add(self, local_part: str, **more: object) -> str:
        address = f"{local_part}@{self.domain}"
        self.service.api.create_account(address, self.password, **more)
        return address


_numbers = itertools.count(1)


def new_tenant(service: Service) -> Tenant:
    """A tenant that no other test has."""
    tenant = Tenant(service, f"tenant{next(_numbers)}")
    service.api.create_tenant(tenant.slug)
    service.api.create_domain(tenant.domain, tenant.slug)
    return tenant
