//! Schemas and read models for randomised tests.
//!
//! Each schema leans on other things: documents through junction tables, groups over types and keys of all kinds, trees and keys
//! that change by cascade.

/// A schema with its read models.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Its name.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
    /// Views: name, query, columns that identify a row.
    pub views: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Output columns that hold JSON of any shape.
    pub free_json: &'static [&'static str],
}

/// Documents: a library with authors by junction, loans, and long texts.
pub const LIBRARY: Schema = Schema {
    name: "library",
    sql: "
        CREATE TYPE genre AS ENUM ('novel', 'essay', 'poem', 'other');
        CREATE TABLE author (id int PRIMARY KEY, name text NOT NULL, born date, country char(2));
        CREATE TABLE shelf (code varchar(8) PRIMARY KEY, floor smallint, label text);
        CREATE TABLE book (
            id bigint PRIMARY KEY, title text NOT NULL, kind genre NOT NULL DEFAULT 'other', shelf varchar(8) REFERENCES shelf
                ON UPDATE CASCADE ON DELETE SET NULL,
            price numeric(8, 2), tags text[], extra jsonb, summary text, added timestamptz);
        CREATE TABLE book_author (
            book bigint REFERENCES book ON DELETE CASCADE ON UPDATE CASCADE, author int REFERENCES author ON DELETE CASCADE ON UPDATE CASCADE,
            place smallint NOT NULL DEFAULT 1, PRIMARY KEY (book, author));
        CREATE TABLE loan (
            id uuid PRIMARY KEY, book bigint NOT NULL REFERENCES book ON DELETE CASCADE ON UPDATE CASCADE, reader text, since date NOT NULL,
            returned date, fee numeric);",
    views: &[
        (
            "books",
            "SELECT b.id, b.title, b.kind, b.price, b.tags, b.extra, b.summary, b.added, s.label AS shelf, s.floor,
                ARRAY(SELECT a.name FROM book_author x JOIN author a ON a.id = x.author WHERE x.book = b.id
                      ORDER BY x.place, a.id) AS authors,
                (SELECT count(*) FROM loan l WHERE l.book = b.id) AS loans,
                (SELECT max(l.since) FROM loan l WHERE l.book = b.id) AS last_loan,
                EXISTS (SELECT 1 FROM loan l WHERE l.book = b.id AND l.returned IS NULL) AS out
             FROM book b LEFT JOIN shelf s ON s.code = b.shelf",
            &["id"],
        ),
        (
            "authors",
            "SELECT a.id, a.name, upper(a.country) AS country,
                (SELECT jsonb_agg(jsonb_build_object('book', b.id, 'title', b.title, 'shelf', s.label,
                        'readers', (SELECT count(DISTINCT l.reader) FROM loan l WHERE l.book = b.id)) ORDER BY b.id)
                 FROM book_author x JOIN book b ON b.id = x.book LEFT JOIN shelf s ON s.code = b.shelf WHERE x.author = a.id) AS books,
                (SELECT string_agg(b.title, '; ' ORDER BY b.title, b.id) FROM book_author x JOIN book b ON b.id = x.book
                 WHERE x.author = a.id AND b.kind = 'novel') AS novels
             FROM author a WHERE a.name <> ''",
            &["id"],
        ),
        (
            "open_loans",
            "SELECT l.id, l.reader, l.since, b.title, b.kind FROM loan l JOIN book b ON b.id = l.book
             WHERE l.returned IS NULL AND l.since > DATE '2024-01-01'",
            &["id"],
        ),
        ("shelves", "SELECT * FROM shelf", &["code"]),
    ],
    free_json: &["extra"],
};

/// Groups: readings of devices, with keys of many types and accounts that have no children.
pub const READINGS: Schema = Schema {
    name: "readings",
    sql: "
        CREATE TYPE state AS ENUM ('ok', 'warning', 'broken');
        CREATE DOMAIN code AS varchar(12) CHECK (VALUE <> 'forbidden');
        CREATE TABLE site (name text, region text, opened date, PRIMARY KEY (region, name));
        CREATE TABLE device (
            id uuid PRIMARY KEY, site_region text NOT NULL, site_name text NOT NULL, model code, state state NOT NULL, weight float8,
            settings jsonb, FOREIGN KEY (site_region, site_name) REFERENCES site ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE reading (
            device uuid REFERENCES device ON DELETE CASCADE ON UPDATE CASCADE, day date, slot smallint, value numeric(10, 3), good bool,
            raw bytea, at timestamp, PRIMARY KEY (device, day, slot));
        CREATE TABLE quota (state state PRIMARY KEY, readings bigint, span interval);",
    views: &[
        (
            "sites",
            "SELECT s.region, s.name, s.opened,
                (SELECT count(*) FROM device d WHERE d.site_region = s.region AND d.site_name = s.name) AS devices,
                ARRAY(SELECT d.model::text FROM device d WHERE d.site_region = s.region AND d.site_name = s.name AND d.state <> 'broken'
                      ORDER BY d.id) AS models
             FROM site s",
            &["region", "name"],
        ),
        (
            "per_day",
            "SELECT r.day, d.state, count(*) AS readings, sum(r.value) AS total, round(avg(r.value), 4) AS mean, min(r.value) AS low,
                max(r.value) AS high, count(DISTINCT r.device) AS devices, count(*) FILTER (WHERE r.good) AS good,
                bool_and(r.good) AS all_good
             FROM reading r JOIN device d ON d.id = r.device GROUP BY r.day, d.state",
            &["day", "state"],
        ),
        (
            "busy_sites",
            "SELECT d.site_region, d.site_name, sum(r.slot) AS slots FROM reading r JOIN device d ON d.id = r.device
             GROUP BY d.site_region, d.site_name HAVING count(*) > 3",
            &["site_region", "site_name"],
        ),
        (
            "everything",
            "SELECT count(*) AS readings, sum(value) AS total, max(day) AS last FROM reading",
            &[],
        ),
        (
            "devices",
            "SELECT d.id, d.model, d.state, d.weight, d.settings -> 'a' AS a, coalesce(d.settings ->> 'n', 'none') AS n, q.readings AS quota,
                q.span, l.day AS last_day, l.value AS last_value, l.raw AS last_raw
             FROM device d LEFT JOIN quota q ON q.state = d.state
             LEFT JOIN LATERAL (SELECT r.day, r.value, r.raw FROM reading r WHERE r.device = d.id
                                ORDER BY r.day DESC, r.slot DESC LIMIT 1) l ON true",
            &["id"],
        ),
    ],
    free_json: &["a"],
};

/// Trees: teams within teams, people with a chief, tasks that move between them, and keys that change by cascade.
pub const TEAMS: Schema = Schema {
    name: "teams",
    sql: "
        CREATE TABLE team (id int PRIMARY KEY, parent int REFERENCES team ON UPDATE CASCADE ON DELETE SET NULL, name text NOT NULL);
        CREATE TABLE person (
            id int PRIMARY KEY, team int NOT NULL REFERENCES team ON UPDATE CASCADE, chief int REFERENCES person ON DELETE SET NULL ON UPDATE CASCADE,
            name text NOT NULL, salary numeric(9, 2), active bool NOT NULL DEFAULT true);
        CREATE TABLE task (
            team int REFERENCES team ON UPDATE CASCADE ON DELETE CASCADE, no int, owner int REFERENCES person ON UPDATE CASCADE ON DELETE SET NULL,
            title text, hours numeric(6, 2), done bool, notes text, PRIMARY KEY (team, no));",
    views: &[
        (
            "teams",
            "SELECT t.id, t.name, p.name AS parent, g.name AS grandparent,
                (SELECT jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name, 'chief', c.name,
                        'tasks', ARRAY(SELECT k.title FROM task k WHERE k.owner = m.id ORDER BY k.team, k.no)) ORDER BY m.id)
                 FROM person m LEFT JOIN person c ON c.id = m.chief WHERE m.team = t.id AND m.active) AS people,
                (SELECT sum(m.salary) FROM person m WHERE m.team = t.id) AS salaries
             FROM team t LEFT JOIN team p ON p.id = t.parent LEFT JOIN team g ON g.id = p.parent",
            &["id"],
        ),
        (
            "tasks",
            "SELECT k.team, k.no, k.title, k.hours * 1.5 AS billed, o.name AS owner, CASE WHEN k.done THEN 'done' WHEN k.owner IS NULL
                THEN 'free' ELSE 'open' END AS state, length(k.notes) AS note_length
             FROM task k LEFT JOIN person o ON o.id = k.owner",
            &["team", "no"],
        ),
        (
            "workload",
            "SELECT t.id AS team, t.name, count(*) AS tasks, sum(k.hours) FILTER (WHERE NOT k.done) AS open_hours
             FROM task k JOIN team t ON t.id = k.team GROUP BY t.id, t.name",
            &["team", "name"],
        ),
        (
            "top_tasks",
            "SELECT p.id AS person, k.team, k.no, k.hours FROM person p
             JOIN LATERAL (SELECT t.team, t.no, t.hours FROM task t WHERE t.owner = p.id AND t.hours IS NOT NULL
                           ORDER BY t.hours DESC, t.team, t.no LIMIT 2) k ON true",
            &["person", "team", "no"],
        ),
    ],
    free_json: &[],
};
