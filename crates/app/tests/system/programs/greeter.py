"""A gRPC service without generated code: messages are bytes as they are.

/test.Greeter/Hello answers `hello NAME`, with the instance in the trailers.
/test.Greeter/Count streams 1 to N, then their sum in the trailers.
/test.Greeter/Fail  ends with NOT_FOUND.
"""

import os
from concurrent import futures

import grpc

INSTANCE = os.environ["TENON_INSTANCE"]
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse { status: SERVING }


def hello(request, context):
    context.set_trailing_metadata((("x-instance", INSTANCE),))
    return b"hello " + request


def count(request, context):
    numbers = range(1, int(request) + 1)
    yield from (str(number).encode() for number in numbers)
    context.set_trailing_metadata((("x-sum", str(sum(numbers))),))


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "there is no " + request.decode())


def service(name, **methods):
    return grpc.method_handlers_generic_handler(name, methods)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((
        service(
            "test.Greeter",
            Hello=grpc.unary_unary_rpc_method_handler(hello),
            Count=grpc.unary_stream_rpc_method_handler(count),
            Fail=grpc.unary_unary_rpc_method_handler(fail),
        ),
        service("grpc.health.v1.Health", Check=grpc.unary_unary_rpc_method_handler(lambda *_: SERVING)),
    ))
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.start()
    print("started", flush=True)
    server.wait_for_termination()


main()
