"""SeaweedFS's S3 on loopback: one `weed server -s3` with ports, keys and a directory of its own, and a bucket made first."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from . import ports
from .process import Process, wait_until

ACCESS_KEY = "restantetest"
SECRET_KEY = "restante-test-secret"
REGION = "us-east-1"


class SeaweedFs:
    def __init__(self, directory: Path, bucket: str = "restante") -> None:
        self.directory = directory
        self.bucket = bucket
        self.process: Process | None = None
        # What it may take at most, from its next start on.
        self.volumes, self.volume_megabytes = 100, 512
        # Of each of its ports SeaweedFS also takes port + 10 000 for gRPC.
        self.master, self.volume, self.filer, self.s3 = ports.free(4, beside=(10000,))
        (directory / "data").mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "restante",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.s3}"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}?endpoint={self.endpoint}&region={REGION}"

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

    def start(self, seconds: float = 60) -> None:
        weed = Path(sys.executable).parent / "weed"
        self.process = Process(
            "seaweedfs",
            [weed, "-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.directory / 'data'}",
             f"-master.port={self.master}", f"-volume.port={self.volume}", f"-filer.port={self.filer}",
             "-filer", f"-filer.localSocket={self.directory / 'filer.sock'}",
             "-s3", f"-s3.localSocket={self.directory / 's3.sock'}", f"-s3.port={self.s3}", f"-s3.config={self.directory / 's3.json'}",
             "-s3.port.iceberg=0", "-s3.port.lance=0", f"-master.volumeSizeLimitMB={self.volume_megabytes}", f"-volume.max={self.volumes}",
             "-master.telemetry=false", "-master.electionTimeout=1s"],
            self.directory / "log",
            cwd=self.directory,
        )  # fmt: skip
        wait_until("SeaweedFS serves its bucket", self._make_bucket, seconds, pause=0.1)
        # The first write waits for a volume to grow: that is part of starting.
        wait_until(
            "SeaweedFS takes an object", lambda: self._curl("PUT", "/started", data="x") == 200, seconds, pause=0.1
        )

    def _make_bucket(self) -> bool:
        if self.process is not None:
            self.process.check_alive()
        return self._curl("PUT", "") in (200, 409)

    def _curl(self, method: str, path: str, data: str | None = None) -> int:
        """The status of one signed request on the bucket, 0 when there was no answer."""
        done = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "--max-time", "10",
             "--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", f"{ACCESS_KEY}:{SECRET_KEY}",
             # The hash of the content is left out of the signature: curl takes that of an empty one.
             *(["--data-binary", data, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"] if data is not None else []), f"{self.endpoint}/{self.bucket}{path}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return int(done.stdout or 0)

    def stop(self) -> None:
        """SeaweedFS takes half a minute to end in peace and no test looks at its data afterwards."""
        self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None

    def __enter__(self) -> SeaweedFs:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        # It leaves sockets named after its gRPC ports, in a place that no option changes.
        for port in (self.master, self.volume, self.filer, self.s3):
            for left in Path("/tmp").glob(f"seaweedfs-*-{port + 10_000}.sock"):
                left.unlink(missing_ok=True)
        shutil.rmtree(self.directory / "data", ignore_errors=True)
