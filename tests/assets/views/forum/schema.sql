CREATE TABLE member (name text PRIMARY KEY, joined timestamptz NOT NULL, karma int NOT NULL DEFAULT 0, bio text,
  settings jsonb NOT NULL DEFAULT '{}', badges int[] , invited_by text REFERENCES member ON UPDATE CASCADE ON DELETE SET
  NULL, avatar bytea, is_mod bool);
CREATE TABLE section (path text PRIMARY KEY, title text NOT NULL, parent text REFERENCES section ON UPDATE CASCADE ON
  DELETE CASCADE, position int NOT NULL, hidden boolean DEFAULT false);
CREATE TABLE thread (id serial PRIMARY KEY, section text NOT NULL REFERENCES section ON UPDATE CASCADE ON DELETE
  CASCADE, author text REFERENCES member ON UPDATE CASCADE ON DELETE SET NULL, title varchar(120) NOT NULL, slug text,
  created timestamp NOT NULL, pinned boolean NOT NULL DEFAULT false, tags text[] NOT NULL DEFAULT '{}', views bigint NOT
  NULL DEFAULT 0, UNIQUE (section, slug));
CREATE TABLE post (thread_id int NOT NULL REFERENCES thread ON DELETE CASCADE, no int NOT NULL, author text REFERENCES
  member ON UPDATE CASCADE ON DELETE SET NULL, body text NOT NULL, created timestamp NOT NULL, edited timestamp,
  reply_no int, ip bytea, PRIMARY KEY (thread_id, no), FOREIGN KEY (thread_id, reply_no) REFERENCES post (thread_id, no)
  ON DELETE CASCADE);
CREATE TABLE vote (thread_id int NOT NULL, post_no int NOT NULL, member text NOT NULL REFERENCES member ON UPDATE
  CASCADE ON DELETE CASCADE, value smallint NOT NULL CHECK (value IN (-1,1)), at timestamptz DEFAULT now(), PRIMARY KEY
  (thread_id, post_no, member), FOREIGN KEY (thread_id, post_no) REFERENCES post ON DELETE CASCADE);
CREATE TABLE tag (id int PRIMARY KEY, label text NOT NULL UNIQUE, colour char(7));
CREATE TABLE thread_tag (thread_id int REFERENCES thread ON DELETE CASCADE, tag_id int REFERENCES tag ON DELETE CASCADE,
  PRIMARY KEY (thread_id, tag_id));
CREATE TABLE badge (id int PRIMARY KEY, name text NOT NULL, level numeric NOT NULL);
CREATE TABLE message (id uuid PRIMARY KEY, sender text REFERENCES member ON UPDATE CASCADE ON DELETE SET NULL, recipient
  text REFERENCES member ON UPDATE CASCADE ON DELETE SET NULL, sent timestamptz NOT NULL, read timestamptz, body json);
