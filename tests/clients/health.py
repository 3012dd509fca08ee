"""gRPC's health service (grpc.health.v1) on port 8080: what is asked for decides what is answered.

Check: "" is well, "unknown" is not found, with details; "late" is answered when its client has gone, and then says so.
Watch: a number is how many messages come.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
# A google.rpc.Status: NOT_FOUND, and a message.
DETAILS = b"\x08\x05\x12\x0fno such service"


def service(request):
    """The one field of a request: its tag and its length come first."""
    return request[2:].decode()


def check(request, context):
    match service(request):
        case "late":
            gone = threading.Event()
            if context.add_callback(gone.set):
                gone.wait()
            print("gone", flush=True)
        case "unknown":
            context.set_trailing_metadata((("grpc-status-details-bin", DETAILS), ("told-by", "web")))
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return SERVING


def watch(request, context):
    for number in range(int(service(request))):
        yield (SERVING, NOT_SERVING)[number % 2]


server = grpc.server(ThreadPoolExecutor(8))
methods = {
    "Check": grpc.unary_unary_rpc_method_handler(check),
    "Watch": grpc.unary_stream_rpc_method_handler(watch),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
server.add_insecure_port("[::]:8080")
server.start()
print("ready", flush=True)
server.wait_for_termination()
