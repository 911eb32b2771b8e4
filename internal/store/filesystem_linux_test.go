package store

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The table has what statfs(2) says of each network file system, and nothing of a disk.
func TestR08_NetworkFileSystemsAreKnown(t *testing.T) {
	for name, magic := range map[string]int64{
		"NFS": unix.NFS_SUPER_MAGIC, "SMB": unix.SMB_SUPER_MAGIC, "SMB2": unix.SMB2_SUPER_MAGIC, "CIFS": unix.CIFS_SUPER_MAGIC,
		"Coda": unix.CODA_SUPER_MAGIC, "AFS": unix.AFS_SUPER_MAGIC, "9P": unix.V9FS_MAGIC, "Ceph": unix.CEPH_SUPER_MAGIC,
	} {
		if got := networkFileSystems[magic]; got != name {
			t.Errorf("%s (%#x) is taken for %q", name, magic, got)
		}
	}
	for _, magic := range []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC} {
		if got, found := networkFileSystems[magic]; found {
			t.Errorf("a local file system (%#x) is taken for %s", magic, got)
		}
	}
	if err := localFileSystem(t.TempDir()); err != nil && !strings.Contains(err.Error(), "network file system") {
		t.Error(err)
	}
}
