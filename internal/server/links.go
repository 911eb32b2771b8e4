package server

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/internal/files"
)

// links makes addresses of files (chatjson.Links). Until the server listens, and has no
// public address, they have no host.
type links struct {
	files *files.Service
	base  atomic.Pointer[string]

	mu      sync.Mutex
	avatars map[string][2]string // by file id
}

// avatarsKept bounds the addresses of avatars in memory.
const avatarsKept = 50_000

func newLinks(f *files.Service, public string) *links {
	l := &links{files: f, avatars: make(map[string][2]string)}
	l.at(public)
	return l
}

// at sets where the server is reached.
func (l *links) at(base string) {
	base = strings.TrimRight(base, "/")
	l.base.Store(&base)
}

// File implements chatjson.Links.
func (l *links) File(id, variant string) (url string, expires time.Time) {
	path, expires := l.files.URL(id, variant, 0)
	return *l.base.Load() + path, expires
}

// Avatar implements chatjson.Links.
func (l *links) Avatar(ref string) (url, thumb string) {
	switch {
	case ref == "":
		return "", ""
	case strings.Contains(ref, "://"):
		return ref, ref
	}
	l.mu.Lock()
	paths, known := l.avatars[ref]
	l.mu.Unlock()
	if !known {
		if paths, known = l.look(ref); !known {
			return "", ""
		}
	}
	base := *l.base.Load()
	return base + paths[0], base + paths[1]
}

// look asks for the address of an avatar, which never changes.
func (l *links) look(ref string) (paths [2]string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	paths[0], paths[1], ok = l.files.AvatarOf(ctx, ref)
	if !ok {
		return paths, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.avatars) >= avatarsKept {
		clear(l.avatars)
	}
	l.avatars[ref] = paths
	return paths, true
}
