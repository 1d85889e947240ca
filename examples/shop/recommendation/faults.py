"""Knobs that make this instance slow, unavailable or lose its answers, to see what the mesh makes of it."""

MAX_SLOW_MS = 20_000


class Faults:
    """What is wrong with this instance on purpose."""

    slow_ms, unavailable, refuse, lose = 0, False, False, 0

    def turn(self, knob, body):
        """Turns a knob: `slow`, `unavailable`, `refuse` or `lose-replies`; a ValueError says what it expects."""
        if knob == "slow" and isinstance(body.get("ms"), int) and 0 <= body["ms"] <= MAX_SLOW_MS:
            self.slow_ms = body["ms"]
        elif knob in ("unavailable", "refuse") and isinstance(body.get("on"), bool):
            setattr(self, knob, body["on"])
        elif knob == "lose-replies" and isinstance(body.get("count"), int) and body["count"] >= 0:
            self.lose = body["count"]
        else:
            raise ValueError('expected {"ms": …}, {"on": …} or {"count": …}')
