-- The journal: events that are only ever added, and three counters that only ever grow.
-- AUTOINCREMENT keeps the highest seq ever given in sqlite_sequence: cutting off the newest events leaves it standing there.
CREATE TABLE events (
  seq  INTEGER PRIMARY KEY AUTOINCREMENT,
  at   TEXT NOT NULL,
  kind TEXT NOT NULL,
  site TEXT NOT NULL,
  run  INTEGER,
  by   TEXT NOT NULL,
  data TEXT NOT NULL,
  prev TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_kind ON events (kind, site, seq);
CREATE INDEX events_by_run ON events (run, seq) WHERE run IS NOT NULL;
CREATE TRIGGER events_are_not_edited BEFORE UPDATE ON events
  BEGIN SELECT RAISE(ABORT, 'events are never edited'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
  BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER events_are_added_at_the_end BEFORE INSERT ON events
  WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM events)
  BEGIN SELECT RAISE(ABORT, 'events are only added at the end'); END;

CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT;
INSERT INTO counters VALUES ('epoch', 0), ('run', 0), ('incident', 0);
CREATE TRIGGER counters_only_grow BEFORE UPDATE ON counters
  WHEN NEW.value <= OLD.value OR NEW.name <> OLD.name
  BEGIN SELECT RAISE(ABORT, 'counters only grow'); END;
CREATE TRIGGER counters_stay BEFORE DELETE ON counters
  BEGIN SELECT RAISE(ABORT, 'counters stay'); END;
