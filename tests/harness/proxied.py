"""A cluster that reaches its PostgreSQL and its store through proxies which count and misbehave on command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .pgproxy import PgProxy
from .s3proxy import S3Proxy
from .seaweed import REGION
from .service import Cluster


class ProxiedCluster(Cluster):
    """One process of each role that serves; `settings` are further variables of their environment."""

    NAMES = ("pop3-1", "lmtp", "admin")

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self.settings = dict(settings or {})
        self.s3 = S3Proxy(directory, f"127.0.0.1:{self.store.s3}")
        self.pg = PgProxy(directory, str(self.postgres.dir / ".s.PGSQL.5432"))

    def url_for(self, user: str) -> str:
        return self.pg.url(user)

    def store_url(self) -> str:
        return f"s3://{self.store.bucket}?endpoint={self.s3.endpoint}&region={REGION}"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.settings}

    def heal(self) -> None:
        """Both parts as they should be, as far as the proxies are concerned."""
        self.s3.heal()
        self.pg.heal()

    def __enter__(self) -> ProxiedCluster:
        self.s3.start()
        self.pg.start()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.s3.stop()
        self.pg.stop()
