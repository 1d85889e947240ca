"""The recommendation service of the example shop: what else a customer may like.

Only Python's standard library. It knows nothing of the mesh: it listens on $PORT, calls
http://inventory by the ordinary $http_proxy, and reads its one setting, how many items to recommend,
from the configuration service at $TENON_API, if there is one.

Left out on purpose: clever recommendations, and any data of its own.
"""

import http.client
import json
import os
import signal
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults import Faults
from setting import Limit, log

MAX_ANSWER = 64 * 1024  # bytes of another service's answer that are read
LONGEST_CALL = 2.0  # seconds
MAX_CONNECTIONS = 256
DRAIN = 2.0  # seconds that requests in flight have after SIGTERM


class Problem(Exception):
    """An answer in the form of RFC 9457."""

    def __init__(self, status, code, detail):
        super().__init__(detail)
        self.status, self.code = status, code


def stock(headers):
    """Everything in stock as inventory tells it, with the caller's trace and what is left of its time."""
    outgoing = {name: headers[name] for name in ("traceparent", "tenon-timeout-ms") if headers[name]}
    left = (headers["tenon-timeout-ms"] or "")[:9]
    timeout = min(LONGEST_CALL, int(left) / 1000) if left.isdecimal() else LONGEST_CALL
    request = urllib.request.Request("http://inventory/stock", headers=outgoing)
    try:
        # urllib takes the proxy, with its credentials, from the environment.
        with urllib.request.urlopen(request, timeout=max(timeout, 0.001)) as answer:
            return json.loads(answer.read(MAX_ANSWER))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Problem(503, "recommendation.unavailable", f"inventory: {error}") from error


def recommend(sku, limit, headers):
    """Other products that are in stock, those of which there is most first."""
    items = stock(headers)
    if sku not in (item["sku"] for item in items):
        raise Problem(404, "recommendation.unknown-product", f"there is no product {sku[:80]!r}")
    others = [item for item in items if item["sku"] != sku and item["available"] > 0]
    others.sort(key=lambda item: (-item["available"], item["sku"]))
    return {"sku": sku, "limit": limit, "items": others[:limit]}


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


def handler(limit, faults):
    """The request handler, which answers by the present value of `limit`, unless it is to fail."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds that a connection may be silent
        disable_nagle_algorithm = True
        wbufsize = MAX_ANSWER  # head and body leave in one piece

        def do_GET(self):
            self.server.count(+1)
            try:
                self.answer(200, self.route() if self.command == "GET" else self.turn())
            except Problem as problem:
                self.refuse(problem)
            except Exception as error:  # a fault of ours ends this request, not the connection
                log("fault", error=repr(error))
                self.refuse(Problem(500, "recommendation.fault", "see the log"))
            finally:
                self.server.count(-1)

        def do_POST(self):
            if not self.path.startswith("/admin/"):
                return self.send_error(501, "there is only GET, but for the knobs under /admin")
            self.do_GET()

        def turn(self):
            length = self.headers["content-length"] or "0"
            if not length.isdecimal() or int(length) > MAX_ANSWER:
                self.close_connection = True
                raise Problem(413, "request.too-large", f"a body has a length of at most {MAX_ANSWER} bytes")
            try:
                body = json.loads(self.rfile.read(int(length)) or "{}")
                faults.turn(self.path.removeprefix("/admin/"), body if isinstance(body, dict) else {})
            except ValueError as error:
                raise Problem(422, "request.invalid", str(error)) from error
            log("fault", **body)
            return {}

        def suffer(self):
            time.sleep(faults.slow_ms / 1000)
            if faults.unavailable:
                raise Problem(503, "recommendation.unavailable", "this instance was told to be unavailable")
            if faults.refuse:
                raise Problem(422, "recommendation.refused", "this instance was told to refuse")
            if faults.lose > 0:
                faults.lose -= 1
                self.close_connection = self.lost = True

        lost = False

        def route(self):
            if self.headers["content-length"] or self.headers["transfer-encoding"]:
                self.close_connection = True  # a body nobody reads would be taken for the next request
            url = urllib.parse.urlsplit(self.path)
            if url.path == "/health":
                return {"status": "ok"}
            if url.path != "/recommendations":
                raise Problem(404, "request.unknown", "there are only /recommendations?sku=... and /health")
            self.suffer()
            sku = urllib.parse.parse_qs(url.query, max_num_fields=16).get("sku")
            if not sku:
                raise Problem(400, "request.invalid", "say which product: /recommendations?sku=saw")
            return recommend(sku[0], limit.value, self.headers)

        def refuse(self, problem):
            body = {"status": problem.status, "code": problem.code, "detail": str(problem)}
            self.answer(problem.status, body, "application/problem+json")

        def send_error(self, code, message=None, explain=None):
            """What the base class refuses itself: a malformed request, another method than GET."""
            self.close_connection = True
            self.refuse(Problem(code, "request.invalid", message or explain or "malformed request"))

        def answer(self, status, body, kind="application/json"):
            if self.lost:
                return log("the answer is lost")
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
    limit = Limit(os.environ.get("TENON_API", ""), os.environ.get("TENON_TOKEN", ""))
    if os.environ.get("TENON_API"):
        threading.Thread(target=limit.watch, daemon=True).start()
    server = Server(("127.0.0.1", int(os.environ["PORT"])), handler(limit, Faults()))

    def stop(*_):
        server.stopping = True
        # shutdown() waits for serve_forever(), which runs in this same thread, so another must call it.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log("started", service="recommendation", port=server.server_port)
    server.serve_forever(poll_interval=0.05)
    server.drain()
    log("stopped", service="recommendation")
    os._exit(0)  # idle connections would be waited for otherwise


if __name__ == "__main__":
    main()
