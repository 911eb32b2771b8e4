package config

import "io"

// Check loads src and writes what is wrong with it, or "ok" and its notes; the error
// is that of [Load].
func Check(w io.Writer, src Source) error { panic("unwritten") }

// Show writes the effective configuration as YAML, without secrets, and with origin
// set also where each value comes from.
func (r *Result) Show(w io.Writer, origin bool) error { panic("unwritten") }

// Docs writes the reference of all keys as Markdown.
func Docs(w io.Writer) error { panic("unwritten") }

// Generate writes a commented file to start from, with fresh random secrets.
func Generate(w io.Writer) error { panic("unwritten") }
