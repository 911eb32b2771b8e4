//go:build !linux

package main

import "os"

// unbuffered leaves the terminal as it is: keys come with their lines.
func unbuffered(*os.File) (restore func(), terminal bool, err error) {
	return func() {}, false, nil
}
