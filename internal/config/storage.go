package config

import "time"

// Storage is where the server keeps what outlives it.
type Storage struct {
	Driver           string `key:"driver" default:"sqlite" oneof:"sqlite|postgres" doc:"Database: the embedded one in data_dir, or PostgreSQL."`
	DSN              string `key:"dsn" secret:"yes" doc:"Where PostgreSQL is and how to log in: postgres://user:password@host/database, or words like host=…; with driver postgres only, which needs it."`
	DataDir          string `key:"data_dir" default:"./kuranty-data" doc:"Folder of the embedded database, of uploaded files, generated secrets and of what is kept over a restart; made with mode 0700."`
	MaxConnections   int    `key:"max_connections" default:"16" doc:"Most connections to PostgreSQL; the embedded database has no need of it."`
	UnsafeDurability bool   `key:"unsafe_durability" doc:"Start although the database does not sync what it commits; an acknowledged write may then be lost with the machine."`
}

// Events is the log of what happened, which channels, streams and webhooks are told from.
type Events struct {
	Retention time.Duration `key:"retention" default:"72h" doc:"Time events are kept for readers that come back."`
	Keep      int           `key:"keep" default:"100000" doc:"Least number of events kept, however old they are."`
	Types     []EventType   `key:"types" doc:"Types of events of your own services, which these may append; each has a unique name of words with dots between, as order.created."`
}

// Backup is where backups are put.
type Backup struct {
	Dir string `key:"dir" doc:"Folder of kuranty backup create; empty is backups in storage.data_dir."`
}

func (l *loader) checkStorage(c *Config) {
	s := &c.Storage
	switch postgres := s.Driver == "postgres"; {
	case postgres && s.DSN == "":
		l.wrong("storage.driver", "postgres needs storage.dsn")
	case !postgres && s.DSN != "":
		l.wrong("storage.dsn", "needs storage.driver postgres, not %s", s.Driver)
	}
	if s.UnsafeDurability {
		const key = "storage.unsafe_durability"
		l.note(key, place{layer: string(l.origins[key])}, true, "a database that does not sync is let pass, so acknowledged writes may be lost")
	}
}
