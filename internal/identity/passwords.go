package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed" // for the list of common passwords
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// PasswordOptions say how passwords are hashed (guarantees.md S10). The zero value is
// ready to use.
type PasswordOptions struct {
	// Memory is what one hash takes, in KiB; zero means 65536 (64 MiB), the least is
	// 19456 (19 MiB). Passes is how often it is gone over; zero means 2, which is the
	// least. Lanes is how many threads do it; zero means 1.
	Memory, Passes, Lanes int
	// Parallel is how many are hashed at once; zero means 4. Others wait, for at most
	// Wait, zero meaning 2 s, and are then told [ErrBusy].
	Parallel int
	Wait     time.Duration
}

const (
	minMemory, maxMemory = 19 << 10, 4 << 20 // KiB
	minPasses, maxPasses = 2, 64
	maxLanes             = 64
	saltSize, tagSize    = 16, 32

	minPassword, maxPassword = 8, 256 // characters
)

//go:embed common_passwords.txt
var commonPasswords string

// passwordField returns a password as it is hashed: in NFC, because keyboards differ in
// how they write one letter. field is its name in errors, own are values that a guesser
// tries first.
func passwordField(field, s string, own ...string) (string, error) {
	if !utf8.ValidString(s) {
		return "", &FieldError{field, "invalid"}
	}
	s = norm.NFC.String(s)
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "", &FieldError{field, "required"}
	case n < minPassword:
		return "", &FieldError{field, "too_short"}
	case n > maxPassword:
		return "", &FieldError{field, "too_long"}
	}
	folded := strings.ToLower(s)
	for _, v := range own {
		if v != "" && folded == strings.ToLower(v) {
			return "", &FieldError{field, "common"}
		}
	}
	if isCommon(folded) {
		return "", &FieldError{field, "common"}
	}
	return s, nil
}

// isCommon tells whether a password in lower case is one that everybody tries. A scan of
// the list takes some microseconds, a thousandth of hashing.
func isCommon(folded string) bool {
	return !strings.ContainsAny(folded, "\n#") && strings.Contains(commonPasswords, "\n"+folded+"\n") ||
		strings.Count(folded, folded[:1]) == len(folded)
}

// hasher makes and checks hashes, a bounded number at once.
type hasher struct {
	cost  phc
	slots chan struct{}
	wait  time.Duration
	// decoy is a hash of nothing anybody knows, of the current cost.
	decoy func() string
}

func newHasher(o PasswordOptions) (*hasher, error) {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Memory, 64<<10)
	def(&o.Passes, 2)
	def(&o.Lanes, 1)
	def(&o.Parallel, 4)
	if o.Wait == 0 {
		o.Wait = 2 * time.Second
	}
	h := &hasher{
		cost: phc{memory: uint32(o.Memory), passes: uint32(o.Passes), lanes: uint8(o.Lanes)},
		wait: o.Wait,
	}
	switch {
	case o.Memory < minMemory || o.Memory > maxMemory:
		return nil, fmt.Errorf("password memory is %d KiB, must be from %d to %d", o.Memory, minMemory, maxMemory)
	case o.Passes < minPasses || o.Passes > maxPasses:
		return nil, fmt.Errorf("password passes are %d, must be from %d to %d", o.Passes, minPasses, maxPasses)
	case o.Lanes < 1 || o.Lanes > maxLanes:
		return nil, fmt.Errorf("password lanes are %d, must be from 1 to %d", o.Lanes, maxLanes)
	case o.Parallel < 1 || o.Wait < 0:
		return nil, errors.New("password hashing needs at least one at once and no negative wait (auth.password_hash_concurrency)")
	}
	h.slots = make(chan struct{}, o.Parallel)
	h.decoy = sync.OnceValue(func() string {
		p := h.cost
		p.salt, p.tag = make([]byte, saltSize), make([]byte, tagSize)
		_, _ = rand.Read(p.salt) // documented never to fail
		_, _ = rand.Read(p.tag)
		return p.String()
	})
	return h, nil
}

// hash returns the PHC string of a password that passwordField has passed.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	p := h.cost
	p.salt = make([]byte, saltSize)
	_, _ = rand.Read(p.salt) // documented never to fail
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	p.tag = p.derive(password)
	return p.String(), nil
}

// verify tells whether the password is the one that was hashed, and whether that hash is
// weaker than those made now. An empty hash is compared with as slowly as any other.
func (h *hasher) verify(ctx context.Context, hash, password string) (right, weak bool, err error) {
	known := hash != ""
	if !known {
		hash = h.decoy()
	}
	p, err := parsePHC(hash)
	if err != nil {
		return false, false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer h.leave()
	right = subtle.ConstantTimeCompare(p.derive(norm.NFC.String(password)), p.tag) == 1
	return right && known, p.weakerThan(h.cost), nil
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
}

func (h *hasher) leave() { <-h.slots }

// phc is an argon2id hash with its parameters, written as the PHC string format has it:
// $argon2id$v=19$m=65536,t=2,p=1$salt$hash, both in base64 without padding.
type phc struct {
	memory, passes uint32 // memory in KiB
	lanes          uint8
	salt, tag      []byte
}

func (p phc) derive(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, tagSize)
}

func (p phc) weakerThan(o phc) bool { return p.memory < o.memory || p.passes < o.passes }

var phcBase64 = base64.RawStdEncoding.Strict()

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes,
		phcBase64.EncodeToString(p.salt), phcBase64.EncodeToString(p.tag))
}

// parsePHC reads what String writes. Costs that would stall the server are refused.
func parsePHC(s string) (phc, error) {
	bad := errors.New("password hash is not argon2id in PHC form")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, bad
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, bad
	}
	var n [3]int
	for i, limit := range []struct {
		prefix   string
		min, max int
	}{{"m=", 8, maxMemory}, {"t=", 1, maxPasses}, {"p=", 1, maxLanes}} {
		digits, ok := strings.CutPrefix(costs[i], limit.prefix)
		v, err := strconv.Atoi(digits)
		if !ok || err != nil || v < limit.min || v > limit.max || strconv.Itoa(v) != digits {
			return phc{}, bad
		}
		n[i] = v
	}
	p := phc{memory: uint32(n[0]), passes: uint32(n[1]), lanes: uint8(n[2])}
	var err1, err2 error
	p.salt, err1 = phcBase64.DecodeString(parts[4])
	p.tag, err2 = phcBase64.DecodeString(parts[5])
	if err1 != nil || err2 != nil || strings.ContainsAny(parts[4]+parts[5], "\r\n") || len(p.salt) < 8 || len(p.salt) > 64 || len(p.tag) != tagSize {
		return phc{}, bad
	}
	return p, nil
}
