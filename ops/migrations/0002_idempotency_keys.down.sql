DROP TABLE ebbtide.idempotency_keys;
