"""Object storage with the S3 protocol, such as Hetzner's: keeping a file there, and making sure that it has arrived."""

import base64
import hashlib
from pathlib import Path
from typing import Any, TypedDict

from .errors import OxideError

_CONNECT_TIMEOUT = 10
_READ_TIMEOUT = 120
_ATTEMPTS = 3


class Bucket(TypedDict):
    """A bucket and the credentials for it."""

    endpoint: str
    """Address of the storage, such as https://fsn1.your-objectstorage.com."""
    name: str
    """Name of the bucket."""
    region: str
    """Region that signatures name."""
    prefix: str
    """Folder in the bucket, without slashes around it. Empty for none."""
    access_key: str
    """Access key. Empty leaves both keys to the usual environment, AWS_ACCESS_KEY_ID and the like."""
    secret_key: str
    """Secret key."""


def keep(file: Path, bucket: Bucket) -> str:
    """
    Upload a file under its own name, and make sure that the storage has all of it.

    One request, so that the storage compares the checksum of the whole; it takes up to 5 GiB that way.

    Returns:
        Its address, s3://BUCKET/KEY.

    Raises:
        OxideError: It is not there; the text says why, and never a key.
    """
    # Half a second that only a run with an upload has to spend.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    key = "/".join(part for part in (bucket["prefix"], file.name) if part)
    address = f"s3://{bucket['name']}/{key}"
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=bucket["endpoint"],
            region_name=bucket["region"],
            aws_access_key_id=bucket["access_key"] or None,
            aws_secret_access_key=bucket["secret_key"] or None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=_CONNECT_TIMEOUT,
                read_timeout=_READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                # Bucket names with dots match no certificate.
                s3={"addressing_style": "path"},
                # Checksums that came later than the protocol are not taken by every storage.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        size, checksum = file.stat().st_size, _md5(file)
        with file.open("rb") as body:
            client.put_object(Bucket=bucket["name"], Key=key, Body=body, ContentMD5=checksum)
        found: dict[str, Any] = client.head_object(Bucket=bucket["name"], Key=key)
    except NoCredentialsError:
        raise OxideError(
            f"{address}: no credentials; set accessKey and secretKey of the bucket, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment"
        ) from None
    except (BotoCoreError, ClientError, OSError) as error:
        raise OxideError(f"{address}: {error}") from None
    if (arrived := found["ContentLength"]) != size:
        raise OxideError(f"{address}: the storage has {arrived} bytes of {size}")
    return address


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        # The protocol's checksum; it protects against accidents only.
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()
