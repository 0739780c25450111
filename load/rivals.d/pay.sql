\set n :n + 1
\set seat (:clients + :client_id) * :seats + :n
\set user 1 + :seat % :users
BEGIN;
SELECT balance FROM wallets WHERE user_id = :user FOR UPDATE;
UPDATE wallets SET balance = balance - 100 WHERE user_id = :user;
INSERT INTO wallet_entries (user_id, reservation_id, points, balance) SELECT user_id, :seat, -100, balance FROM wallets WHERE user_id = :user;
UPDATE seats SET state = 2 WHERE id = :seat;
UPDATE reservations SET state = 2 WHERE id = :seat;
COMMIT;
