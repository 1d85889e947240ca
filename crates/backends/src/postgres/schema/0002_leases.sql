-- Which server does what only one may do. By the database's clock.
CREATE TABLE tenon.leases (
    name text COLLATE "C" PRIMARY KEY,
    holder uuid NOT NULL,
    until timestamptz NOT NULL
);
