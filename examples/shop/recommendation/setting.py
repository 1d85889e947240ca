"""The service's one setting, `limit`, from the configuration service at $TENON_API.

A plain HTTP client of a documented API, not an SDK: one GET, and one GET of server-sent events.
"""

import http.client
import json
import time
import urllib.error
import urllib.request

DEFAULT_LIMIT = 3
MAX_LIMIT = 50
MAX_LINE = 64 * 1024  # bytes of a value or of an event's line
MAX_LINES = 1000  # of an event
READ_TIMEOUT = 2.0  # seconds
SILENCE = 60.0  # seconds after which a silent watch counts as lost
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds before a lost watch is taken up again


def log(event, **fields):
    """One line of short text to stdout."""
    print(event, *(f"{key}={value}" for key, value in fields.items()), flush=True)


class Limit:
    """The setting `limit`, read at start and then watched in a thread of its own."""

    def __init__(self, api, token):
        self.value = DEFAULT_LIMIT
        self._api, self._token = api, token
        # The API is no service of the mesh, so no proxy stands before it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def watch(self):
        """Follows the setting for ever; a lost watch is taken up again, later each time."""
        pause = FIRST_PAUSE
        while True:
            try:
                self._read()
                # Once more when the watch stands, so that no change can fall between the two.
                with self._open("?watch=true", SILENCE) as events:
                    self._read()
                    pause = FIRST_PAUSE
                    self._follow(events)
                log("config watch ended")
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                log("config unreachable", limit=self.value, error=repr(error), retry_s=pause)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _open(self, path, timeout):
        url = f"{self._api}/v1/config/recommendation{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"})
        return self._opener.open(request, timeout=timeout)

    def _read(self):
        try:
            with self._open("/limit", READ_TIMEOUT) as answer:
                self._take(json.loads(answer.read(MAX_LINE))["value"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            self._take(None)

    def _follow(self, events):
        """Reads server-sent events: `data:` lines up to an empty one are one event."""
        data = []
        while line := events.readline(MAX_LINE):
            line = line.decode("utf-8", "replace").rstrip("\r\n")
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
                if len(data) > MAX_LINES:
                    raise ValueError("an event is too long")
            elif not line and data:
                change = json.loads("\n".join(data))
                data = []
                if isinstance(change, dict) and change.get("key") == "limit":
                    self._take(change.get("new"))

    def _take(self, value):
        """Takes a value over; a key that is gone means the default, nonsense means no change."""
        value = DEFAULT_LIMIT if value is None else value
        if type(value) is not int or not 1 <= value <= MAX_LIMIT:
            log("config ignored", limit=json.dumps(value), expected=f"1..{MAX_LIMIT}")
        elif value != self.value:
            log("config changed", limit=f"{self.value}->{value}")
            self.value = value
