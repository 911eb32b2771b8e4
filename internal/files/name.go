package files

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxNameBytes = 255

// extensions are those a name of the type may have; the first is given to one that
// has none of them.
var extensions = map[string][]string{
	"image/jpeg": {".jpg", ".jpeg", ".jpe", ".jfif"},
	"image/png":  {".png"},
	"image/gif":  {".gif"},
	"image/webp": {".webp"},
}

// cleanName makes a client's name one that can be shown, saved and sent in a header:
// the last path element, without control characters and those that turn the direction
// of writing, and so could show "gpj.exe" as "exe.jpg".
func cleanName(name string) string {
	name = strings.ToValidUTF8(name, "�")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		// Cf holds the marks of direction and everything else without a shape.
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return -1
		}
		return r
	}, name)
	name = strings.TrimRight(strings.TrimSpace(name), ". ")
	if name == "" || strings.Trim(name, ".") == "" {
		return "file"
	}
	return shorten(name)
}

// shorten keeps a name and its extension within the limit.
func shorten(name string) string {
	if len(name) <= maxNameBytes {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > 16 {
		ext = ""
	}
	stem := name[:maxNameBytes-len(ext)]
	for !utf8.ValidString(stem) {
		stem = stem[:len(stem)-1]
	}
	return stem + ext
}

// nameAs gives the name of an image the extension of what it became, so that it opens
// where it is saved.
func nameAs(name, mime string) string {
	fits := extensions[mime]
	ext := path.Ext(name)
	if fits == nil || slices.Contains(fits, strings.ToLower(ext)) {
		return name
	}
	for _, others := range extensions {
		if slices.Contains(others, strings.ToLower(ext)) {
			name = strings.TrimSuffix(name, ext)
			break
		}
	}
	if name == "" {
		name = "file"
	}
	if over := len(name) + len(fits[0]) - maxNameBytes; over > 0 {
		name = strings.ToValidUTF8(name[:len(name)-over], "")
	}
	return name + fits[0]
}
