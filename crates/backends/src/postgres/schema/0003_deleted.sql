-- Streams that were deleted, by their last deletion, until all their events before it are gone.
CREATE TABLE tenon.deleted (
    stream text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (stream, namespace)
);
