"""A service's side of sagas, in a SQLite database: docs/sagas.md, "What a service that takes part does".

For every saga and step there is one record, in the same transaction as the effect. By it a call that comes twice, late, or after
it was undone is known, and does no harm.
"""

import contextlib
import json
import sqlite3
import threading
from typing import NamedTuple

TABLE = """
CREATE TABLE IF NOT EXISTS barrier (
    saga TEXT NOT NULL, step TEXT NOT NULL, state TEXT NOT NULL, round INTEGER NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (saga, step)
) WITHOUT ROWID;
"""

TOO_LATE = {"status": 422, "code": "saga.too-late", "detail": "the step was undone before this call came"}


class Call(NamedTuple):
    """A call that a saga makes."""

    saga: str
    step: str
    undo: bool
    round: int

    @classmethod
    def of(cls, headers):
        """By the headers of a request; a ValueError says which is missing or wrong."""
        saga, step, direction, round_ = (
            headers[name] or "" for name in ("tenon-saga", "tenon-saga-step", "tenon-saga-direction", "tenon-saga-round")
        )
        if not saga or not step or direction not in ("do", "undo") or not round_.isdecimal():
            raise ValueError("the headers tenon-saga, -step, -direction and -round must say which call it is")
        return cls(saga, step, direction == "undo", int(round_))


class Refused(Exception):
    """The service decides against it, with a problem (RFC 9457). Under the call's key that stands."""

    def __init__(self, problem):
        super().__init__(problem.get("detail"))
        self.problem = problem


class Barrier:
    """The records, and whatever tables the service has besides. Calls wait for one another."""

    def __init__(self, file, tables):
        self.file, self.lock, self.idle = file, threading.Lock(), []
        with self.database() as database:
            database.executescript(TABLE + tables)

    @contextlib.contextmanager
    def database(self):
        """A connection, kept for the next who needs one; what is committed is on disk."""
        try:
            database = self.idle.pop()
        except IndexError:
            database = sqlite3.connect(self.file, timeout=10, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
        try:
            yield database
        except BaseException:
            database.close()
            raise
        self.idle.append(database)

    def run(self, call, effect):
        """Runs the effect if the call is to be carried out, and otherwise answers again what was answered before."""
        with self.lock, self.database() as database:
            database.execute("BEGIN IMMEDIATE")
            answer, refused = self.judge(database, call, effect)
            database.execute("COMMIT")
        if refused:
            raise Refused(answer)
        return answer

    def judge(self, database, call, effect):
        query = "SELECT state, round, answer FROM barrier WHERE saga = ? AND step = ?"
        known = database.execute(query, (call.saga, call.step)).fetchone()
        state, round_, answer = known or ("nothing", 0, "{}")
        if call.undo:
            # What was never done, or was refused, needs no undoing; that it is undone is noted all the same.
            answer = effect(database) if state == "done" else {}
            self.keep(database, call, "undone", {})
            return answer, False
        if state == "done":
            return json.loads(answer), False
        if state == "undone":
            return TOO_LATE, True
        if state == "refused" and call.round <= round_:
            return json.loads(answer), True
        try:
            answer = effect(database)
        except Refused as refused:
            self.keep(database, call, "refused", refused.problem)
            return refused.problem, True
        self.keep(database, call, "done", answer)
        return answer, False

    def keep(self, database, call, state, answer):
        row = (call.saga, call.step, state, call.round, json.dumps(answer))
        database.execute("INSERT OR REPLACE INTO barrier VALUES (?, ?, ?, ?, ?)", row)
