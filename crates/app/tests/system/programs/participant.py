"""A service that takes part in sagas, with nothing but Python's standard library.

It keeps the barrier of docs/sagas.md in a database of its own (LEDGER), in the same transaction as the effect, which here is
a line in a ledger. What it is sent may ask it to `refuse` a step, and to `forget` that it did, or to `lose` the first answer to it.
"""

import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEDGER = os.environ["LEDGER"]


def connect():
    database = sqlite3.connect(LEDGER, timeout=10, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    # What is committed outlives the process, which is all that is tested; a sync for each call would make it slow.
    database.execute("PRAGMA synchronous = NORMAL")
    return database


with connect() as database:
    database.execute(
        "CREATE TABLE IF NOT EXISTS step (saga TEXT, step TEXT, state TEXT, round INTEGER, body TEXT,"
        " PRIMARY KEY (saga, step))"
    )
    database.execute("CREATE TABLE IF NOT EXISTS ledger (saga TEXT, step TEXT)")


def take_part(saga, step, direction, round_, work):
    """Judges a call by what is known of its step, and does it if it is to be done. Answers a status and a document."""
    database = connect()
    try:
        database.execute("BEGIN IMMEDIATE")
        known = database.execute("SELECT state, round, body FROM step WHERE saga = ? AND step = ?", (saga, step))
        state, before, body = known.fetchone() or ("nothing", 0, "null")
        if direction == "undo":
            if state == "done":
                database.execute("DELETE FROM ledger WHERE saga = ? AND step = ?", (saga, step))
            state, answer = "undone", (200, {})
        elif state == "done":
            answer = (200, json.loads(body))
        elif state == "undone":
            answer = (422, {"detail": "it was undone before it came"})
        elif state == "refused" and round_ <= before:
            answer = (422, {"detail": "it was refused before"})
        elif work.get("refuse") == step and work.get("forget"):
            database.execute("ROLLBACK")
            return 422, {"detail": "it is refused"}
        elif work.get("refuse") == step:
            state, answer = "refused", (422, {"detail": "it is refused"})
        else:
            database.execute("INSERT INTO ledger VALUES (?, ?)", (saga, step))
            state, answer = "done", (200, {"id": f"{step}-1"})
        values = (saga, step, state, round_, json.dumps(answer[1]))
        database.execute("INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?)", values)
        database.execute("COMMIT")
        return answer
    finally:
        database.close()


class Participant(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != "/ledger":
            return self.answer(200, {})
        database = connect()
        rows = database.execute("SELECT saga, step FROM ledger ORDER BY saga, step").fetchall()
        database.close()
        self.answer(200, rows)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        work = json.loads(body) if body else {}
        header = lambda name: self.headers.get(f"tenon-saga{name}", "")
        work = work if isinstance(work, dict) else {}
        status, document = take_part(header(""), header("-step"), header("-direction"), int(header("-round")), work)
        if work.get("lose") == header("-step") and header("-attempt") == "1":
            status, document = 500, {"detail": "the answer is lost"}
        self.answer(status, document)

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Participant).serve_forever()
