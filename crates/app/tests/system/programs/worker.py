"""A service that does what a test asks of it. Only Python's standard library.

GET /health            204
GET /who               which instance and process answers
GET /slow?ms=N         the same after so long; GET /waiting says how many do so now
GET /wait?for=FILE     the same once there is such a file; counted likewise
GET /status?code=N     that status
GET /die?n=N&once=FILE so many bytes, but dies in the middle of them if there is no such file yet
GET /print?text=T      prints a line
GET /child             the process id of the child that it started, with CHILD=1
GET /call?url=U        what another service answers, called by the ordinary proxy variables

EXIT=N ends it at once with that code; IGNORE_TERM=1 makes SIGTERM useless.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

child = None
waiting = 0


def who():
    return {"instance": os.environ["TENON_INSTANCE"], "pid": os.getpid()}


def slow(ms):
    global waiting
    waiting += 1
    time.sleep(int(ms) / 1000)
    waiting -= 1
    return who()


def wait(file):
    global waiting
    waiting += 1
    while not os.path.exists(file):
        time.sleep(0.01)
    waiting -= 1
    return who()


def call(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        match url.path:
            case "/health":
                self.answer(204, b"")
            case "/slow":
                self.answer_json(slow(asked["ms"]))
            case "/wait":
                self.answer_json(wait(asked["for"]))
            case "/waiting":
                self.answer_json({"waiting": waiting})
            case "/status":
                self.answer(int(asked["code"]), b"as told")
            case "/die":
                self.die(int(asked["n"]), asked["once"])
            case "/print":
                print(asked["text"], flush=True)
                self.answer_json(who())
            case "/child":
                self.answer_json({"pid": child.pid if child else None})
            case "/call":
                self.answer_json(call(asked["url"]))
            case _:
                self.answer_json(who())

    def die(self, length, once):
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return self.answer(200, b"x" * length)
        self.answer(200, b"x" * (length // 2), length)
        os.kill(os.getpid(), signal.SIGKILL)

    def answer_json(self, body):
        self.answer(200, json.dumps(body).encode())

    def answer(self, status, body, length=None):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    global child
    print("started", flush=True)
    if "EXIT" in os.environ:
        print("there is no database", file=sys.stderr, flush=True)
        sys.exit(int(os.environ["EXIT"]))
    if "IGNORE_TERM" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "CHILD" in os.environ:
        child = subprocess.Popen(["sleep", "600"])
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()


main()
