\set n :n + 1
\set seat :client_id * :seats + :n
\set user random(1, :users)
BEGIN;
SELECT state FROM seats WHERE id = :seat FOR UPDATE;
UPDATE seats SET state = 1, owner_id = :user WHERE id = :seat AND state = 0;
INSERT INTO reservations (id, user_id, seat_id, state, points) VALUES (:seat, :user, :seat, 1, 100);
COMMIT;
