"""
Failures that the engine remembers.

A dynamic provider's exception leaves the state as it was before the call. After a change that was begun and not finished
that is wrong: with the setting taken back, nothing would differ from the record and nobody would repair the node. Pulumi's
protocol has an answer for this (ErrorResourceInitFailed: record the new values, mark the resource as unfinished and update it in
the next run whatever its inputs are), but the SDK's dynamic provider offers no way to give it. So it is put on the call's context.
"""

import sys
from types import FrameType
from typing import Any

import grpc
from google.protobuf import any_pb2, json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2

_UNKNOWN = grpc.StatusCode.UNKNOWN.value[0]


def record_failure(id_: str, outs: dict[str, Any], reason: str) -> None:
    """
    Let the engine record a resource as unfinished; to be called before the exception is raised.

    Args:
        id_: Id of the resource.
        outs: What is to be recorded, the provider's own key included.
        reason: One line for the user.
    """
    context = _context()
    if context is None:
        # Called outside the SDK's provider process, as tests do.
        return
    properties = struct_pb2.Struct()
    json_format.ParseDict(outs, properties)
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(id=id_, properties=properties, reasons=[reason])
    )
    context.set_trailing_metadata((("grpc-status-details-bin", _status(reason, detail)),))


def _context() -> Any:
    """The context of the call that this thread serves."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals.get("context")
        if isinstance(found, grpc.ServicerContext):
            return found
        frame = frame.f_back
    return None


def _status(message: str, detail: any_pb2.Any) -> bytes:
    """A google.rpc.Status on the wire; its Python class exists twice, and the two cannot be loaded together."""
    packed = detail.SerializeToString()
    text = message.encode()
    return b"".join(
        (
            b"\x08" + _varint(_UNKNOWN),
            b"\x12" + _varint(len(text)) + text,
            b"\x1a" + _varint(len(packed)) + packed,
        )
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
