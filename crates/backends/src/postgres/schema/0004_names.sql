-- Streams in order, to list them.
CREATE INDEX events_by_name ON tenon.events (namespace, stream, position);
