"""A failure that the engine remembers, over a real gRPC call as the engine makes it."""

from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, empty_pb2, json_format
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from oxide_components.recorded_failure import _status, _varint, record_failure

OUTS = {"name": "demo-worker-1", "pending": True, "size": 3.0, "list": [{"a": None}]}


class _Servicer(provider_pb2_grpc.ResourceProviderServicer):
    reason = "it failed"

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._deep(5)

    def _deep(self, depth: int) -> Any:
        if depth:
            return self._deep(depth - 1)
        record_failure("demo-worker-1", OUTS, self.reason)
        raise RuntimeError("the exception's own text")


@pytest.fixture
def servicer() -> _Servicer:
    return _Servicer()


@pytest.fixture
def provider(servicer: _Servicer) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        server.stop(None).wait()


def _fields(data: bytes) -> dict[int, Any]:
    """Fields of a message on the wire; varints and length-delimited ones."""
    found: dict[int, Any] = {}

    def varint() -> int:
        nonlocal data
        number = shift = 0
        while True:
            byte, data = data[0], data[1:]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while data:
        key = varint()
        value: Any = varint()
        if key & 7 == 2:
            value, data = data[:value], data[value:]
        found[key >> 3] = value
    return found


@pytest.mark.parametrize("reason", ["it failed", "a" * 1000, "nodes: ä ö 日本"])
def test_the_engine_gets_what_to_record_and_why(
    provider: provider_pb2_grpc.ResourceProviderStub, servicer: _Servicer, reason: str
) -> None:
    servicer.reason = reason
    with pytest.raises(grpc.RpcError) as caught:
        provider.Update(provider_pb2.UpdateRequest(), timeout=30)

    call: Any = caught.value
    assert call.code() == grpc.StatusCode.UNKNOWN
    status = _fields(dict(call.trailing_metadata())["grpc-status-details-bin"])
    assert status[1] == grpc.StatusCode.UNKNOWN.value[0]
    assert status[2].decode() == reason
    detail = any_pb2.Any.FromString(status[3])
    assert detail.type_url == "type.googleapis.com/pulumirpc.ErrorResourceInitFailed"
    failed = provider_pb2.ErrorResourceInitFailed()
    assert detail.Unpack(failed)
    assert failed.id == "demo-worker-1"
    assert list(failed.reasons) == [reason]
    assert json_format.MessageToDict(failed.properties) == OUTS


def test_outside_of_a_call_there_is_nobody_to_tell() -> None:
    context = "not the context of a call"
    record_failure(context, OUTS, "it failed")


@given(st.text(), st.binary(max_size=400))
def test_the_status_survives_the_wire(message: str, value: bytes) -> None:
    detail = any_pb2.Any(type_url="type.googleapis.com/x", value=value)
    fields = _fields(_status(message, detail))

    assert fields[2].decode() == message
    assert any_pb2.Any.FromString(fields[3]) == detail


@given(st.integers(0, 2**40))
def test_numbers_are_encoded_as_protobuf_does(number: int) -> None:
    encoded = empty_pb2.Empty.FromString(b"\x08" + _varint(number)).SerializeToString()

    assert encoded == b"\x08" + _varint(number)
