-- One schema a service; ${prefix} is the run's own. "C" collation: ids are compared as bytes, which halves a probe.
-- An outbox is empty but under the guarantee of that name; a row is a block of records, not worth compressing for
-- the moment that it lives. Fillfactors leave room for the versions that one page sees between two prunings, so that updates stay heap-only.
CREATE SCHEMA "${prefix}order";
CREATE TABLE "${prefix}order".orders (
    order_id text COLLATE "C" PRIMARY KEY,
    user_id  text COLLATE "C" NOT NULL,
    paid     boolean NOT NULL DEFAULT false,
    status   text NOT NULL DEFAULT 'not_paid' CHECK (status IN ('not_paid', 'pending', 'paid')),
    items    text NOT NULL DEFAULT '[]',
    amount   bigint NOT NULL DEFAULT 0 CHECK (amount >= 0),
    tr       integer NOT NULL DEFAULT 0
) WITH (fillfactor = 45);
CREATE TABLE "${prefix}order".decisions (
    order_id text COLLATE "C",
    tr       integer,
    decision text NOT NULL CHECK (decision IN ('success', 'fail')),
    replies  text NOT NULL,
    PRIMARY KEY (order_id, tr)
);
CREATE TABLE "${prefix}order".outbox (
    sequence      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text COLLATE "C" NOT NULL,
    topic         text NOT NULL,
    record_keys   text NOT NULL,
    record_values bytea NOT NULL
);
ALTER TABLE "${prefix}order".outbox ALTER record_keys SET STORAGE EXTERNAL, ALTER record_values SET STORAGE EXTERNAL;

CREATE SCHEMA "${prefix}pay";
CREATE TABLE "${prefix}pay".users (
    user_id text COLLATE "C" PRIMARY KEY,
    credit  bigint NOT NULL CHECK (credit >= 0)
) WITH (fillfactor = 50);
CREATE TABLE "${prefix}pay".inbox (
    order_id      text COLLATE "C",
    tr            integer,
    was_rollback  boolean,
    outcome       text NOT NULL,
    balance_after bigint,
    PRIMARY KEY (order_id, tr, was_rollback)
);
CREATE TABLE "${prefix}pay".outbox (
    sequence      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text COLLATE "C" NOT NULL,
    topic         text NOT NULL,
    record_keys   text NOT NULL,
    record_values bytea NOT NULL
);
ALTER TABLE "${prefix}pay".outbox ALTER record_keys SET STORAGE EXTERNAL, ALTER record_values SET STORAGE EXTERNAL;

CREATE SCHEMA "${prefix}stock";
CREATE TABLE "${prefix}stock".items (
    item_id text COLLATE "C" PRIMARY KEY,
    stock   bigint NOT NULL CHECK (stock >= 0),
    price   bigint NOT NULL CHECK (price >= 0)
) WITH (fillfactor = 20);
CREATE TABLE "${prefix}stock".inbox (
    order_id      text COLLATE "C",
    tr            integer,
    was_rollback  boolean,
    outcome       text NOT NULL,
    balance_after text,
    PRIMARY KEY (order_id, tr, was_rollback)
);
CREATE TABLE "${prefix}stock".outbox (
    sequence      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text COLLATE "C" NOT NULL,
    topic         text NOT NULL,
    record_keys   text NOT NULL,
    record_values bytea NOT NULL
);
ALTER TABLE "${prefix}stock".outbox ALTER record_keys SET STORAGE EXTERNAL, ALTER record_values SET STORAGE EXTERNAL;
