-- Money that moved. Only UniqueKey and AckThenApply fill the key; nulls never conflict.
create table entries (
    id bigint generated always as identity primary key,
    reference text,
    src text not null,
    dest text not null,
    amount_minor bigint not null,
    idempotency_key text,
    constraint entries_pay_something check (amount_minor > 0),
    constraint entries_pay_once_per_key unique (idempotency_key)
);

-- Replay: what was answered to whom, for how long.
create table replay_keys (
    idempotency_key text not null,
    fingerprint text not null,
    status integer not null,
    expires_at_ms bigint,
    constraint replay_keys_answer_once_per_key primary key (idempotency_key)
);

-- KeyThenApply: keys that somebody has claimed.
create table claimed_keys (
    idempotency_key text not null,
    constraint claimed_keys_claim_once primary key (idempotency_key)
);

-- CheckThenInsert and ApplyThenKey: keys that were seen. Nothing keeps one from being seen twice: that is the point.
create table seen_keys (
    idempotency_key text not null
);

create index seen_keys_by_key on seen_keys (idempotency_key);
