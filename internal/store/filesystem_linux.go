package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Network file systems, by their magic numbers (statfs(2)): their locks and syncs are
// not what SQLite needs.
var networkFileSystems = map[int64]string{
	0x6969: "NFS", 0x517b: "SMB", 0xfe534d42: "SMB2", 0xff534d42: "CIFS", 0x564c: "NCP",
	0x73757245: "Coda", 0x5346414f: "AFS", 0x01021997: "9P", 0x00c36400: "Ceph", 0x19830326: "GlusterFS",
}

// localFileSystem refuses a folder on a network file system (guarantees.md R8).
func localFileSystem(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if name, ok := networkFileSystems[int64(uint32(st.Type))]; ok { // its type differs between architectures
		return fmt.Errorf("storage.data_dir: %s is on a network file system (%s), where SQLite is not safe; use a local disk, or PostgreSQL", dir, name)
	}
	return nil
}
