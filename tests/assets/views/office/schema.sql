CREATE SCHEMA app; CREATE SCHEMA billing;
CREATE TYPE app.role AS ENUM ('owner','admin','member','guest');
CREATE TYPE app."Task State" AS ENUM ('todo','in progress','blocked','done');
CREATE DOMAIN app.email AS varchar(120) CHECK (VALUE LIKE '%@%');
CREATE DOMAIN billing.money_amount AS numeric(12,2) NOT NULL DEFAULT 0;
CREATE DOMAIN billing.code3 AS char(3);
CREATE TABLE app.tenant (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text NOT NULL UNIQUE, name varchar(80) NOT
  NULL, settings jsonb NOT NULL DEFAULT '{}', created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz);
CREATE TABLE app."User" (tenant_id uuid NOT NULL REFERENCES app.tenant ON DELETE CASCADE, "userId" bigint GENERATED
  ALWAYS AS IDENTITY, email app.email NOT NULL, "displayName" text, roles app.role[] NOT NULL DEFAULT '{member}',
  main_role app.role NOT NULL DEFAULT 'member', "createdAt" timestamptz NOT NULL DEFAULT now(), last_login timestamp,
  prefs jsonb, PRIMARY KEY (tenant_id, "userId"), UNIQUE (tenant_id, email));
CREATE TABLE app.project (tenant_id uuid NOT NULL REFERENCES app.tenant ON DELETE CASCADE, id int NOT NULL, name text
  NOT NULL, owner_id bigint, parent_id int, tags text[] NOT NULL DEFAULT '{}', budget numeric(14,4), meta json, archived
  boolean NOT NULL DEFAULT false, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, owner_id) REFERENCES app."User"
  ON DELETE SET NULL (owner_id), FOREIGN KEY (tenant_id, parent_id) REFERENCES app.project (tenant_id, id) ON DELETE
  CASCADE);
CREATE TABLE app.task (tenant_id uuid NOT NULL, project_id int NOT NULL, no int NOT NULL, title text NOT NULL, state
  app."Task State" NOT NULL DEFAULT 'todo', assignee_id bigint, estimate interval, due date, starts_at time, points
  smallint, weight real, score double precision, labels text[], attrs jsonb, code char(8), done_at timestamptz,
  search_text text GENERATED ALWAYS AS (lower(title) || ' ' || coalesce(code, '')) STORED, PRIMARY KEY (tenant_id,
  project_id, no), FOREIGN KEY (tenant_id, project_id) REFERENCES app.project ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE app.comment (id bigserial PRIMARY KEY, tenant_id uuid NOT NULL, project_id int NOT NULL, task_no int NOT
  NULL, author_id bigint, reply_to bigint REFERENCES app.comment ON DELETE CASCADE, body text NOT NULL, at timestamptz
  NOT NULL, reactions jsonb NOT NULL DEFAULT '[]', FOREIGN KEY (tenant_id, project_id, task_no) REFERENCES app.task ON
  DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE app.project_member (tenant_id uuid NOT NULL, project_id int NOT NULL, user_id bigint NOT NULL, role
  app.role NOT NULL, since date, PRIMARY KEY (tenant_id, project_id, user_id), FOREIGN KEY (tenant_id, project_id)
  REFERENCES app.project ON DELETE CASCADE, FOREIGN KEY (tenant_id, user_id) REFERENCES app."User" ON DELETE CASCADE);
CREATE TABLE billing.plan (code billing.code3 PRIMARY KEY, name text NOT NULL, price billing.money_amount, period
  interval NOT NULL, features text[]);
CREATE TABLE billing.subscription (tenant_id uuid NOT NULL REFERENCES app.tenant ON DELETE CASCADE, plan billing.code3
  NOT NULL REFERENCES billing.plan, started date NOT NULL, ended date, seats int NOT NULL CHECK (seats > 0), discount
  numeric(4,3), PRIMARY KEY (tenant_id, started));
CREATE TABLE billing.invoice (no text PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES app.tenant ON DELETE CASCADE,
  issued date NOT NULL, due date, paid_at timestamptz, currency char(3) NOT NULL DEFAULT 'EUR', lines jsonb NOT NULL
  DEFAULT '[]', net billing.money_amount, tax_rate numeric(5,4) NOT NULL DEFAULT 0.19, gross numeric(14,2) GENERATED
  ALWAYS AS (round(net * (1 + tax_rate), 2)) STORED, raw bytea);
CREATE VIEW app.open_task AS SELECT * FROM app.task t WHERE t.state <> 'done' AND t.done_at IS NULL;
CREATE VIEW billing.current_plan AS SELECT DISTINCT ON (s.tenant_id) s.tenant_id, s.plan, p.name AS plan_name, s.seats,
  p.price * s.seats AS monthly FROM billing.subscription s JOIN billing.plan p ON p.code = s.plan ORDER BY s.tenant_id,
  s.started DESC;
