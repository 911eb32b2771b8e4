// Package gather lets SQLite write a transaction to its write-ahead log with few calls of
// the operating system. By itself it makes two for each page, one for the page and one
// for the 24 bytes before it, and they were a fifth of what a commit cost.
//
// It promises:
//
//   - What SQLite wrote to the log is with the operating system, in the order in which it
//     was written, before SQLite syncs, reads, measures, shortens or closes the log. So a
//     connection with synchronous=FULL, which it is only for, has synced each commit
//     before another may look for it, as without this package.
//   - What cannot be written is an error of the call that found it, the commit at the latest.
//   - It holds 64 KiB for each log, and does nothing to other files.
//
// It is a shim before SQLite's own file system (sqlite.org/vfs.html, section 2.3), to which
// it leaves all else.
package gather

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"
)

// Name is for the parameter vfs of a database's address, after [Register].
const Name = "gather"

// capacity is how many bytes are written with one call: some 16 pages.
const capacity = 64 << 10

// system is the file system that does the work. A log's file is one of its files, of system.FszOsFile
// bytes in memory of SQLite's, with a [gathered] at behind.
var (
	system sqlite.Tsqlite3_vfs
	behind uintptr
)

// methods are what system does with a log, and shim the same but for what comes first
// here; both since the first log was opened.
var (
	methods, shim sqlite.Tsqlite3_io_methods
	known         sync.Once
)

// gathered is what is to be written next: length bytes at start of the file.
type gathered struct {
	bytes  uintptr
	start  int64
	length int32
}

// Register makes the file system known to SQLite, once for the process.
var Register = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	name, err := libc.CString(Name)
	if err != nil {
		return fmt.Errorf("register file system: %w", err)
	}
	found, made := sqlite.Xsqlite3_vfs_find(tls, 0), libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(system)))
	if found == 0 || made == 0 {
		return errors.New("register file system: SQLite has none, or no memory")
	}
	system = *at[sqlite.Tsqlite3_vfs](found)
	behind = (uintptr(system.FszOsFile) + 7) &^ 7
	v := at[sqlite.Tsqlite3_vfs](made)
	*v = system
	v.FpNext, v.FzName, v.FxOpen = 0, name, address(open)
	v.FszOsFile = int32(behind + unsafe.Sizeof(gathered{}))
	if code := sqlite.Xsqlite3_vfs_register(tls, made, 0); code != sqlite.SQLITE_OK {
		return fmt.Errorf("register file system: SQLite's error %d", code)
	}
	return nil
})

func open(tls *libc.TLS, vfs, name, file uintptr, flags int32, opened uintptr) int32 {
	code := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](system.FxOpen)(tls, vfs, name, file, flags, opened)
	if code != sqlite.SQLITE_OK || flags&sqlite.SQLITE_OPEN_WAL == 0 {
		return code
	}
	bytes := libc.Xmalloc(tls, capacity)
	if bytes == 0 {
		return code // it is written as without this package
	}
	f := at[sqlite.Tsqlite3_file](file)
	known.Do(func() {
		methods = *at[sqlite.Tsqlite3_io_methods](f.FpMethods)
		shim = methods
		shim.FxWrite, shim.FxRead, shim.FxSync = address(write), address(read), address(syncLog)
		shim.FxTruncate, shim.FxFileSize, shim.FxClose = address(truncate), address(size), address(shut)
	})
	*at[gathered](file + behind) = gathered{bytes: bytes}
	f.FpMethods = uintptr(unsafe.Pointer(&shim))
	return code
}

// write gathers what follows on what is gathered already.
func write(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	g := at[gathered](file + behind)
	if offset != g.start+int64(g.length) || g.length+n > capacity {
		if code := flush(tls, file); code != sqlite.SQLITE_OK {
			return code
		}
		g.start = offset
	}
	if n > capacity {
		return writeNow(tls, file, data, n, offset)
	}
	copy(unsafe.Slice(at[byte](g.bytes+uintptr(g.length)), n), unsafe.Slice(at[byte](data), n))
	g.length += n
	return sqlite.SQLITE_OK
}

// flush writes what is gathered. SQLite gives up a transaction whose write fails, so
// nothing is kept then.
func flush(tls *libc.TLS, file uintptr) int32 {
	g := at[gathered](file + behind)
	n := g.length
	if n == 0 {
		return sqlite.SQLITE_OK
	}
	g.length = 0
	return writeNow(tls, file, g.bytes, n, g.start)
}

func writeNow(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](methods.FxWrite)(tls, file, data, n, offset)
}

func read(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	if code := flush(tls, file); code != sqlite.SQLITE_OK {
		return code
	}
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](methods.FxRead)(tls, file, data, n, offset)
}

func syncLog(tls *libc.TLS, file uintptr, flags int32) int32 {
	if code := flush(tls, file); code != sqlite.SQLITE_OK {
		return code
	}
	return function[func(*libc.TLS, uintptr, int32) int32](methods.FxSync)(tls, file, flags)
}

func truncate(tls *libc.TLS, file uintptr, length int64) int32 {
	if code := flush(tls, file); code != sqlite.SQLITE_OK {
		return code
	}
	return function[func(*libc.TLS, uintptr, int64) int32](methods.FxTruncate)(tls, file, length)
}

func size(tls *libc.TLS, file, length uintptr) int32 {
	if code := flush(tls, file); code != sqlite.SQLITE_OK {
		return code
	}
	return function[func(*libc.TLS, uintptr, uintptr) int32](methods.FxFileSize)(tls, file, length)
}

func shut(tls *libc.TLS, file uintptr) int32 {
	code := flush(tls, file)
	libc.Xfree(tls, at[gathered](file+behind).bytes)
	if closed := function[func(*libc.TLS, uintptr) int32](methods.FxClose)(tls, file); closed != sqlite.SQLITE_OK {
		return closed
	}
	return code
}

// at is what is at an address in SQLite's memory, which is not Go's.
func at[T any](address uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&address))) }

// address is how SQLite holds a function that the program has forever, and function the
// function it holds so.
func address[F any](f F) uintptr        { return *(*uintptr)(unsafe.Pointer(&f)) }
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }
