-- The log: one row of events for each event, whose position is given under the lock on log_head's only row.
CREATE TABLE tenon.log_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    log uuid NOT NULL,
    last bigint NOT NULL DEFAULT 0,
    time_micros bigint NOT NULL DEFAULT 0,
    first bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 20);

CREATE TABLE tenon.events (
    position bigint PRIMARY KEY,
    time_micros bigint NOT NULL,
    id uuid NOT NULL UNIQUE,
    reserved boolean NOT NULL,
    size integer NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    stream text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    metadata json,
    data bytea NOT NULL
);
CREATE INDEX events_of_stream ON tenon.events (stream, namespace, position);
CREATE INDEX events_of_type ON tenon.events (event_type, position);
CREATE INDEX events_reserved ON tenon.events (position) WHERE reserved;

CREATE TABLE tenon.tags (
    tag text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    reserved boolean NOT NULL,
    PRIMARY KEY (tag, namespace, position)
);
CREATE INDEX tags_reserved ON tenon.tags (tag, position) WHERE reserved;

CREATE TABLE tenon.snapshots (
    key text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    schema_hash bigint NOT NULL,
    data bytea NOT NULL
);
ALTER TABLE tenon.snapshots ALTER COLUMN data SET STORAGE EXTERNAL;
