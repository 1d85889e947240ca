"""Takes pushed events. What it has taken in is a line for each in $TAKEN, written once for each id: ID KEY NUMBER.

An event whose data say {"poison": true} is refused, always. GET /health answers that it is well.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

TAKEN = os.environ["TAKEN"]
LOCK = Lock()


def known():
    try:
        with open(TAKEN) as file:
            return {line.split(" ")[0] for line in file}
    except FileNotFoundError:
        return set()


IDS = known()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if data.get("poison"):
            return self.answer(500)
        identity = self.headers["ce-id"]
        with LOCK:
            if identity not in IDS:
                IDS.add(identity)
                with open(TAKEN, "a") as file:
                    file.write(f"{identity} {self.headers['ce-partitionkey']} {data['number']}\n")
                    file.flush()
                    os.fsync(file.fileno())
        self.answer(204)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
