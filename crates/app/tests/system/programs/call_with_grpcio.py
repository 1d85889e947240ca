"""Calls the greeter by its name with grpcio, which takes its proxy from the environment, and prints what came as JSON."""

import json
import sys

import grpc


def pairs(metadata):
    return {key: value for key, value in metadata or ()}


def main(target):
    with grpc.insecure_channel(target) as channel:
        hello, called = channel.unary_unary("/test.Greeter/Hello").with_call(b"ada", timeout=10)
        counted = channel.unary_stream("/test.Greeter/Count")(b"5", timeout=10)
        numbers = [int(number) for number in counted]
        try:
            channel.unary_unary("/test.Greeter/Fail")(b"bob", timeout=10)
            failure = None
        except grpc.RpcError as error:
            failure = {"code": error.code().name, "details": error.details()}
        print(json.dumps({
            "hello": hello.decode(),
            "hello_trailers": pairs(called.trailing_metadata()),
            "numbers": numbers,
            "count_trailers": pairs(counted.trailing_metadata()),
            "failure": failure,
        }))


main(sys.argv[1])
