"""An object storage on loopback: the requests of the S3 protocol that Oxide makes, with signatures and checksums checked as documented.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

ACCESS_KEY = "planted-access-key"
SECRET_KEY = "planted-secret-key"
REGION = "fsn1"


class ObjectStorage(ThreadingHTTPServer):
    """
    One account with buckets.

    Attributes:
        buckets: Objects of each bucket.
        loses: Bytes at the end of an upload that get lost although it counts as done.
        requests: Method and path of every request.
    """

    daemon_threads = True

    def __init__(self, *buckets: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, bytes]] = {name: {} for name in buckets}
        self.loses = 0
        self.requests: list[str] = []

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def object_storage(*buckets: str) -> Iterator[ObjectStorage]:
    """A storage that runs as long as the block lasts."""
    server = ObjectStorage(*buckets)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectStorage

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if (found := self._place(body)) is None:
            return
        objects, key = found
        if self.headers["Content-MD5"] != _checksum(body):
            self._refuse(400, "BadDigest")
            return
        objects[key] = body[: len(body) - self.server.loses]
        self._answer(200, ETag=f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')

    def do_HEAD(self) -> None:
        if (found := self._place(b"")) is None:
            return
        objects, key = found
        if key in objects:
            self._answer(200, length=len(objects[key]))
        else:
            self._refuse(404, "NoSuchKey")

    def _place(self, body: bytes) -> tuple[dict[str, bytes], str] | None:
        """The bucket and the key of a request that is signed as it has to be."""
        self.server.requests.append(f"{self.command} {self.path}")
        bucket, _, key = unquote(self.path).removeprefix("/").partition("/")
        if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
            self._refuse(403, "InvalidAccessKeyId")
        elif not self._is_signed(body):
            self._refuse(403, "SignatureDoesNotMatch")
        elif bucket not in self.server.buckets:
            self._refuse(404, "NoSuchBucket")
        else:
            return self.server.buckets[bucket], key
        return None

    def _is_signed(self, body: bytes) -> bool:
        fields = dict(
            part.strip().split("=", 1)
            for part in self.headers["Authorization"].partition(" ")[2].split(",")
        )
        _, date, region, service, end = fields["Credential"].split("/")
        digest = self.headers["x-amz-content-sha256"]
        names = fields["SignedHeaders"].split(";")
        request = "\n".join(
            [
                self.command,
                self.path,
                "",
                *(f"{name}:{self.headers[name].strip()}" for name in names),
                "",
                fields["SignedHeaders"],
                digest,
            ]
        )
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                self.headers["x-amz-date"],
                f"{date}/{region}/{service}/{end}",
                hashlib.sha256(request.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{SECRET_KEY}".encode()
        for part in (date, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return (
            {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
            and digest == hashlib.sha256(body).hexdigest()
            and hmac.digest(key, text.encode(), "sha256").hex() == fields["Signature"]
        )

    def _refuse(self, status: int, code: str) -> None:
        # The answer to HEAD has no body, so that clients see the status alone.
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")

    def _answer(
        self, status: int, body: str = "", length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Tests read `requests`."""


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
