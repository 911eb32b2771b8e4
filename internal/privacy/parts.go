package privacy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
)

// Part is a package that keeps rows of people beside chats, such as tickets: what a person
// has there is part of their export, and ends with their account.
type Part interface {
	// Name is the part's folder in exports: a word of a-z, 0-9, - and _ that no other has.
	Name() string
	// Export writes what user may see of it, no matter how much: each call of write makes the
	// file <name>.json of the part's folder, from v as encoding/json does it. A name is a word
	// like the part's and is written once. An error of write ends the export; Export returns
	// it. A part that also has the method Files(ctx, user) ([]string, error) names files of
	// others by it that user sees there.
	Export(ctx context.Context, user int64, write func(name string, v any) error) error
	// Erase removes what is of user alone, and takes what names or describes user out of what
	// others go on to see; the number may stay. What the event log has of texts that are
	// removed, Erase takes out of it; names beside an id are taken out of the log after all
	// parts. The account is deleted before. Erase works in transactions so short that writers
	// are not held up, and finds out itself what is left to do: after a crash it is called
	// again, also when it was done.
	Erase(ctx context.Context, user int64) error
}

// sharing is a part in which there are files of others that user sees. They are in the
// export as those of messages are.
type sharing interface {
	Files(ctx context.Context, user int64) ([]string, error)
}

var partName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// folders are the names in an export that are not for parts.
var folders = map[string]bool{"chats": true, "files": true}

func checkParts(parts []Part) error {
	seen := make(map[string]bool)
	for _, p := range parts {
		if name := p.Name(); !partName.MatchString(name) || folders[name] || seen[name] {
			return fmt.Errorf("privacy: %q cannot be the name of a part", name)
		}
		seen[p.Name()] = true
	}
	return nil
}

func (a *archive) writeParts(ctx context.Context) error {
	for _, p := range a.s.o.Parts {
		seen := make(map[string]bool)
		err := p.Export(ctx, a.user, func(name string, v any) error {
			if !partName.MatchString(name) || seen[name] {
				return errors.New("no name for a file, or there already: " + name)
			}
			seen[name] = true
			if err := a.alive(ctx); err != nil {
				return err
			}
			return a.json(path.Join(p.Name(), name+".json"), v)
		})
		if err != nil {
			return fmt.Errorf("export %s: %w", p.Name(), err)
		}
		if shared, ok := p.(sharing); ok {
			ids, err := shared.Files(ctx, a.user)
			if err != nil {
				return fmt.Errorf("export files of %s: %w", p.Name(), err)
			}
			a.noteFiles(ids...)
		}
	}
	return nil
}

// eraseParts lets one part after the other erase the person.
func (s *Service) eraseParts(ctx context.Context, user int64, p *progress) (bool, error) {
	if p.ID >= int64(len(s.o.Parts)) {
		return false, nil
	}
	part := s.o.Parts[p.ID]
	if err := part.Erase(ctx, user); err != nil {
		return false, fmt.Errorf("%s: %w", part.Name(), err)
	}
	p.ID++
	return true, nil
}
