package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// What needs the server's own code is done by other commands of this executable, on the
// database of a configuration: `bench-fill` fills it and prints what is in it, a line of
// JSON; `bench-sends` sends as often as each line of its input says; `bench-sends
// --script TEXT` prints the pgbench script of that.

// runSelf runs this executable and returns what it prints.
func runSelf(ctx context.Context, args ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // ourselves
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", args[0], err)
	}
	return out, nil
}

// filled is what `bench-fill` tells of the database it has filled.
type filled struct {
	Username    string   `json:"username"`
	Password    string   `json:"password"`
	Large       int64    `json:"large"`
	Ten         int64    `json:"ten"`
	TenThousand int64    `json:"ten_thousand"`
	Words       []string `json:"words"`
}

// fill fills the database in the folder data, where config is kept too.
func fill(ctx context.Context, data string, config map[string]any, messages int) (f filled, err error) {
	file, err := dataFolder(data, config)
	if err != nil {
		return f, err
	}
	out, err := runSelf(ctx, "bench-fill", "--config", file, "--data-dir", data, fmt.Sprintf("--messages=%d", messages))
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(out, &f); err != nil {
		return f, fmt.Errorf("read what was filled: %w", err)
	}
	return f, nil
}

// dataFolder makes a data folder and puts a configuration into it.
func dataFolder(data string, config map[string]any) (file string, err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", fmt.Errorf("make the data folder: %w", err)
	}
	return writeConfig(data, config)
}

// sends is a process that sends without a server around it.
type sends struct{ process *child }

// startSends starts it, with so many people who send, on a database of its own in the
// folder data.
func startSends(ctx context.Context, data string, config map[string]any, people int) (*sends, error) {
	file, err := dataFolder(data, config)
	if err != nil {
		return nil, err
	}
	process, err := startChild("bench-sends", "--config", file, "--data-dir", data, fmt.Sprintf("--people=%d", people))
	if err != nil {
		return nil, err
	}
	s := &sends{process}
	if _, err := s.done(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *sends) stop() { s.process.stop() }

// round sends n messages.
func (s *sends) round(ctx context.Context, n int) (round, error) {
	before, err := cpuTime(s.process.cmd.Process.Pid)
	if err != nil {
		return round{}, err
	}
	order, err := json.Marshal(map[string]any{"sends": n, "text": "1795316768123456789 " + sentText})
	if err != nil {
		return round{}, fmt.Errorf("order sends: %w", err)
	}
	if _, err := s.process.in.Write(append(order, '\n')); err != nil {
		return round{}, fmt.Errorf("order sends: %w", err)
	}
	took, err := s.done(ctx)
	if err != nil {
		return round{}, err
	}
	after, err := cpuTime(s.process.cmd.Process.Pid)
	return round{CPU: after - before, Wall: took}, err
}

// done waits for the answer to an order, or for the first, which says that it is ready.
func (s *sends) done(ctx context.Context) (time.Duration, error) {
	var answer struct {
		Wall *time.Duration `json:"wall_ns"`
	}
	_, err := s.process.line(ctx, func(line string) bool {
		return json.Unmarshal([]byte(line), &answer) == nil && answer.Wall != nil
	})
	if err != nil {
		return 0, err
	}
	return *answer.Wall, nil
}

// script fills a database of its own for pgbench and writes the script to a file.
func (p *postgres) script(ctx context.Context, folder string, people int) (script, error) {
	dsn, err := p.database(ctx)
	if err != nil {
		return script{}, err
	}
	data := filepath.Join(folder, "pgbench")
	file, err := dataFolder(data, chatConfig(map[string]any{"driver": "postgres", "dsn": dsn}))
	if err != nil {
		return script{}, err
	}
	text, err := runSelf(ctx, "bench-sends", "--config", file, "--data-dir", data, fmt.Sprintf("--people=%d", people), "--script", sentText)
	if err != nil {
		return script{}, err
	}
	sc := script{dsn, filepath.Join(data, "send.sql")}
	if err := os.WriteFile(sc.file, text, 0o600); err != nil {
		return script{}, fmt.Errorf("write the script: %w", err)
	}
	return sc, nil
}
