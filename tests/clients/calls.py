"""Calls gRPC's health service at an address, one call after another on one channel, and prints what came of each as JSON.

Calls are given as JSON, too: [[method, service, seconds], ...].
"""

import json
import sys

import grpc


def told(metadata):
    """Trailers, as text. Where nothing but them comes they are the header, whose date is another each time."""
    own = ((key, value) for key, value in metadata or () if key != "date")
    return {key: value if isinstance(value, str) else value.hex() for key, value in own}


def call(channel, method, service, seconds):
    path = f"/grpc.health.v1.Health/{method}"
    request = bytes([10, len(service)]) + service.encode()
    messages = []
    try:
        if method == "Watch":
            running = channel.unary_stream(path)(request, timeout=seconds)
            messages.extend(message.hex() for message in running)
        else:
            message, running = channel.unary_unary(path).with_call(request, timeout=seconds)
            messages.append(message.hex())
    except grpc.RpcError as error:
        running = error
    return {
        "code": running.code().name,
        "details": running.details(),
        "messages": messages,
        "trailers": told(running.trailing_metadata()),
    }


with grpc.insecure_channel(sys.argv[1], (("grpc.default_authority", "web"),)) as channel:
    print(json.dumps([call(channel, *asked) for asked in json.loads(sys.argv[2])]))
