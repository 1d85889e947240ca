"""The loyalty service of the example shop: points that a card collects.

Only Python's standard library. It takes part in the shop's sagas by the contract of docs/sagas.md, in `barrier.py`: what a call
does and the record by which its repeats are known are one transaction of a SQLite database.

Left out on purpose: spending points.
"""

import json
import os
import pathlib
import signal
import sqlite3
import threading
import time
import urllib.parse
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from barrier import Barrier, Call, Refused

MAX_BODY = 64 * 1024  # bytes of a request
MAX_TEXT = 128  # characters of an order or a card
MAX_CONNECTIONS = 256
MAX_SLOW_MS = 20_000
DRAIN = 2.0  # seconds that requests in flight have after SIGTERM

TABLES = """
CREATE TABLE IF NOT EXISTS given (
    position INTEGER PRIMARY KEY, order_id TEXT NOT NULL UNIQUE, card TEXT NOT NULL, points INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS given_by_card ON given (card);
"""


def log(event, **fields):
    """One line of short text to stdout."""
    print(event, *(f"{name}={value}" for name, value in fields.items()), flush=True)


class Problem(Exception):
    """An answer in the form of RFC 9457."""

    def __init__(self, status, code, detail):
        super().__init__(detail)
        self.status, self.code = status, code


class Faults:
    """What is wrong with this instance on purpose."""

    slow_ms, unavailable, refuse, lose = 0, False, False, 0

    def turn(self, knob, body):
        if knob == "slow" and isinstance(body.get("ms"), int) and 0 <= body["ms"] <= MAX_SLOW_MS:
            self.slow_ms = body["ms"]
        elif knob in ("unavailable", "refuse") and isinstance(body.get("on"), bool):
            setattr(self, knob, body["on"])
        elif knob == "lose-replies" and isinstance(body.get("count"), int) and body["count"] >= 0:
            self.lose = body["count"]
        else:
            raise Problem(422, "request.invalid", 'expected {"ms": …}, {"on": …} or {"count": …}')
        log("fault", knob=knob, **body)


class Points:
    """The points of all cards, and the steps of sagas, in one database."""

    def __init__(self, file, faults):
        self.barrier, self.faults = Barrier(file, TABLES), faults

    def give(self, call, body):
        order, card, amount = text(body, "order"), text(body, "card"), money(body)

        def effect(database):
            if self.faults.refuse:
                raise Refused({"status": 422, "code": "loyalty.refused", "detail": "this instance was told to refuse"})
            points = int(amount // 10)
            database.execute("INSERT INTO given (order_id, card, points) VALUES (?, ?, ?)", (order, card, points))
            return {"order": order, "points": points}

        return self.barrier.run(call, effect)

    def take_back(self, call, order):
        def effect(database):
            database.execute("DELETE FROM given WHERE order_id = ?", (order,))
            return {"order": order}

        return self.barrier.run(call, effect)

    def of(self, card):
        query = "SELECT coalesce(sum(points), 0) FROM given WHERE card = ?"
        with self.barrier.database() as database:
            return {"card": card, "points": database.execute(query, (card,)).fetchone()[0]}

    def all(self):
        query = "SELECT card, sum(points) FROM given GROUP BY card ORDER BY card"
        with self.barrier.database() as database:
            return [{"card": card, "points": points} for card, points in database.execute(query)]


def text(body, field):
    value = body.get(field)
    if isinstance(value, str) and 0 < len(value) <= MAX_TEXT:
        return value
    raise Problem(422, "request.invalid", f"{field} must be a text of at most {MAX_TEXT} characters")


def money(body):
    try:
        amount = Decimal(text(body, "amount"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount.is_finite() and 0 <= amount < 10**12:
        return amount
    raise Problem(422, "request.invalid", "amount must be a text such as 12.50")


class Server(ThreadingHTTPServer):
    """A thread for each connection, of which there is a bounded number."""

    request_queue_size = 128
    daemon_threads = True
    slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
    busy, idle = 0, threading.Condition()
    stopping = False

    def process_request(self, request, client_address):
        if not self.slots.acquire(blocking=False):
            return self.shutdown_request(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()

    def count(self, change):
        with self.idle:
            self.busy += change
            self.idle.notify_all()

    def drain(self):
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, DRAIN)


def handler(points, faults):
    """The request handler."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds that a connection may be silent
        disable_nagle_algorithm = True
        wbufsize = MAX_BODY  # head and body leave in one piece

        def handle_request(self):
            self.server.count(+1)
            try:
                status, body = self.route(self.body())
                self.answer(status, body)
            except Problem as problem:
                self.refuse(problem)
            except Refused as refused:
                self.answer(refused.problem.get("status", 422), refused.problem, "application/problem+json")
            except sqlite3.Error as error:
                self.refuse(Problem(503, "loyalty.unavailable", f"the points cannot be used now: {error}"))
            except Exception as error:  # a fault of ours ends this request, not the connection
                log("fault", error=repr(error))
                self.refuse(Problem(500, "loyalty.fault", "see the log"))
            finally:
                self.server.count(-1)

        do_GET = do_POST = do_DELETE = handle_request

        def body(self):
            length = self.headers["content-length"] or "0"
            if self.headers["transfer-encoding"] or not length.isdecimal() or int(length) > MAX_BODY:
                self.close_connection = True
                raise Problem(413, "request.too-large", f"a body has a length of at most {MAX_BODY} bytes")
            read = self.rfile.read(int(length))
            try:
                body = json.loads(read) if read else {}
            except ValueError as error:
                raise Problem(400, "request.invalid", f"the body is no JSON: {error}") from error
            if not isinstance(body, dict):
                raise Problem(422, "request.invalid", "the body must be an object")
            return body

        def route(self, body):
            match self.command, urllib.parse.urlsplit(self.path).path.split("/")[1:]:
                case "GET", ["health"]:
                    return 200, {"status": "ok"}
                case "POST", ["admin", knob]:
                    return 200, faults.turn(knob, body) or {}
                case method, path:
                    return self.own(method, path, body)

        def own(self, method, path, body):
            time.sleep(faults.slow_ms / 1000)
            if faults.unavailable:
                raise Problem(503, "loyalty.unavailable", "this instance was told to be unavailable")
            match method, [urllib.parse.unquote(segment) for segment in path]:
                case "GET", ["points"]:
                    return 200, points.all()
                case "GET", ["points", card]:
                    return 200, points.of(card)
                case "POST", ["points"]:
                    return self.last(points.give(self.call(), body))
                case "DELETE", ["points", order]:
                    return self.last(points.take_back(self.call(), order))
            raise Problem(404, "request.unknown", "there are only /points, /points/{card} and /health")

        def call(self):
            try:
                return Call.of(self.headers)
            except ValueError as error:
                raise Problem(400, "request.invalid", f"only sagas change points: {error}") from error

        def last(self, answer):
            """What was done is answered, unless the answer is to be lost."""
            if faults.lose > 0:
                faults.lose -= 1
                log("the answer is lost")
                self.close_connection = self.lost = True
            return 200, answer

        lost = False

        def refuse(self, problem):
            body = {"status": problem.status, "code": problem.code, "detail": str(problem)}
            self.answer(problem.status, body, "application/problem+json")

        def send_error(self, code, message=None, explain=None):
            """What the base class refuses itself: a malformed request, another method."""
            self.close_connection = True
            self.refuse(Problem(code, "request.invalid", message or explain or "malformed request"))

        def answer(self, status, body, kind="application/json"):
            if self.lost:
                return
            data = json.dumps(body).encode()
            self.close_connection |= self.server.stopping
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, *_):
            """Requests are not logged: the mesh counts and traces them."""

    return Handler


def main():
    folder = pathlib.Path(os.environ.get("SHOP_DATA_DIR", "."))
    folder.mkdir(parents=True, exist_ok=True)
    faults = Faults()
    server = Server(("127.0.0.1", int(os.environ["PORT"])), handler(Points(folder / "loyalty.sqlite", faults), faults))

    def stop(*_):
        server.stopping = True
        # shutdown() waits for serve_forever(), which runs in this same thread, so another must call it.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log("started", service="loyalty", port=server.server_port)
    server.serve_forever(poll_interval=0.05)
    server.drain()
    log("stopped", service="loyalty")
    os._exit(0)  # idle connections would be waited for otherwise


if __name__ == "__main__":
    main()
