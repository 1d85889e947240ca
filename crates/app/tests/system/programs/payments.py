"""A service that takes part in sagas over gRPC: `pay.v1.Payments` of payments.proto, with grpcio and without generated code.

It keeps the barrier of docs/sagas.md in memory, and prints what it does. The card says what is to become of a payment: `empty` is refused,
and the first answer to `lost` is lost.
"""

import os
import threading
from concurrent import futures

import grpc

SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse { status: SERVING }
LOCK = threading.Lock()
RECORDS = {}  # (saga, step): state, answer, round


def decoded(message):
    """The fields of a message by their numbers; of varints and texts."""
    fields, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        fields[tag >> 3] = value
    return fields


def encoded(fields):
    def varint(value):
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    out = b""
    for number, value in fields.items():
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


class Refused(Exception):
    pass


def take_part(context, work):
    """Judges a call by what is known of its step, and does it if it is to be done."""
    header = dict(context.invocation_metadata())
    record, round_ = (header["tenon-saga"], header["tenon-saga-step"]), int(header["tenon-saga-round"])
    print("called", header["idempotency-key"], header["tenon-saga-attempt"], flush=True)
    with LOCK:
        state, answer, before = RECORDS.get(record, ("nothing", b"", 0))
        if header["tenon-saga-direction"] == "undo":
            if state == "done":
                work()
            RECORDS[record] = "undone", b"", 0
            return b""
        if state == "nothing" or state == "refused" and round_ > before:
            try:
                state, answer = "done", work()
            except Refused as refused:
                state, answer = "refused", str(refused)
            RECORDS[record] = state, answer, round_
    if state != "done":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, answer or "it was undone before it came")
    return answer


def take(request, context):
    payment = decoded(request)
    order, cents, card = payment[1], payment[2], payment.get(3, b"")

    def work():
        if card == b"empty":
            raise Refused("the card is empty: 0 €")
        print("took", order.decode(), cents, flush=True)
        return encoded({1: b"receipt of " + order, 2: cents})

    answer = take_part(context, work)
    if card == b"lost" and dict(context.invocation_metadata())["tenon-saga-attempt"] == "1":
        context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
    return answer


def give_back(request, context):
    order = decoded(request)[1]
    return take_part(context, lambda: print("gave back", order.decode(), flush=True))


def service(name, **methods):
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    return grpc.method_handlers_generic_handler(name, handlers)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((
        service("pay.v1.Payments", Take=take, GiveBack=give_back),
        service("grpc.health.v1.Health", Check=lambda *_: SERVING),
    ))
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.start()
    server.wait_for_termination()


main()
