-- One schema a service; ${prefix} is the run's own. "C" collation: ids are compared as bytes, which halves a probe.
-- Fillfactors leave room for the versions that one page sees between two prunings, so that updates stay heap-only.
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
