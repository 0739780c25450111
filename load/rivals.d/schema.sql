-- What a team would write instead: a row per seat, reservation and wallet, one transaction per act.
CREATE TABLE seats (id bigint PRIMARY KEY, state smallint NOT NULL, owner_id bigint);
CREATE TABLE reservations (id bigint PRIMARY KEY, user_id bigint NOT NULL, seat_id bigint NOT NULL, state smallint NOT NULL, points bigint NOT NULL);
CREATE INDEX ON reservations (user_id);
CREATE TABLE wallets (user_id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
CREATE TABLE wallet_entries (id bigserial PRIMARY KEY, user_id bigint NOT NULL, reservation_id bigint NOT NULL, points bigint NOT NULL, balance bigint NOT NULL);
CREATE INDEX ON wallet_entries (user_id);

-- Seats of client c are c * :seats + 1 … (c + 1) * :seats; those to be paid for come after all of them, and are held.
INSERT INTO seats SELECT seat, 0, NULL FROM generate_series(1, :clients * :seats) seat;
INSERT INTO seats SELECT seat, 1, 1 + seat % :users FROM generate_series(:clients * :seats + 1, 2 * :clients * :seats) seat;
INSERT INTO reservations SELECT id, owner_id, id, 1, 100 FROM seats WHERE state = 1;
INSERT INTO wallets SELECT id, 1000000000 FROM generate_series(1, :users) id;
VACUUM ANALYZE;
