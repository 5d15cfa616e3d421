-- A journal as version 1 of the tables had it, with something waiting in each of them.
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
-- Watch and call spans: the embedded backend, and at once what the trace senders send.
CREATE TABLE span(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, trace_id BLOB NOT NULL, span_id BLOB NOT NULL UNIQUE,
  start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, hub TEXT, environment TEXT, run INTEGER, sequence INTEGER,
  otlp BLOB NOT NULL);
CREATE INDEX span_of_trace ON span(trace_id);
CREATE INDEX span_of_hub ON span(hub, environment, end_us) WHERE hub IS NOT NULL;
-- Log lines that were not acknowledged at once, and metrics: for one destination each.
CREATE TABLE outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, signal TEXT NOT NULL, records INTEGER NOT NULL,
  otlp BLOB NOT NULL);
CREATE INDEX outbox_next ON outbox(destination, signal, id);
-- How far each destination got with the spans.
CREATE TABLE cursor(destination TEXT PRIMARY KEY, passed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead_letter(
  id INTEGER PRIMARY KEY, destination TEXT NOT NULL, signal TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL,
  otlp BLOB NOT NULL);
CREATE TABLE log_minute(
  minute INTEGER NOT NULL, level TEXT NOT NULL, lines INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(minute, level)) WITHOUT ROWID;
CREATE TABLE notable(id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIEW watches AS
  SELECT hub, environment, run, sequence, datetime(start_us / 1000000, 'unixepoch') AS start,
         datetime(end_us / 1000000, 'unixepoch') AS end, lower(hex(trace_id)) AS trace_id
  FROM span WHERE kind = 'watch' ORDER BY id;
CREATE VIEW log_minutes AS
  SELECT datetime(minute * 60, 'unixepoch') AS minute, level, lines, bytes FROM log_minute ORDER BY 1, 2;
CREATE VIEW notable_lines AS
  SELECT datetime(time_us / 1000000, 'unixepoch') AS time, level, text FROM notable ORDER BY time_us;
PRAGMA user_version = 1;
INSERT INTO meta VALUES ('run', x'03000000'), ('watcher', x'0102030405060708'), ('checkpoint', CAST('state' AS BLOB));
INSERT INTO span(kind, trace_id, span_id, start_us, end_us, otlp) VALUES
  ('call', x'01', x'01', 1, 2, CAST('first span' AS BLOB)), ('call', x'02', x'02', 3, 4, CAST('second span' AS BLOB));
INSERT INTO cursor VALUES ('main', 1);
INSERT INTO outbox(destination, signal, records, otlp) VALUES
  ('main', 'logs', 2, CAST('one' AS BLOB)), ('main', 'metrics', 1, CAST('metrics' AS BLOB)), ('main', 'logs', 3, CAST('two' AS BLOB));
INSERT INTO dead_letter(destination, signal, reason, records, otlp) VALUES ('main', 'logs', 'HTTP 400', 1, x'00');
