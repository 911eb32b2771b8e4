// Package files keeps what users upload: attachments of messages and avatars.
//
// What it guarantees:
//
//   - a file is complete, hashed and synced, as is its folder, before its row is
//     stored, and only then acknowledged; a row never names bytes that are missing
//     (guarantees.md R7);
//   - what a file is, its content decides, never its name or what the client says.
//     Images are measured before they are decoded, decoded, and written anew without
//     metadata; everything a browser could run is handed out as a download (S29);
//   - bytes lie under generated names inside one folder that neither a name nor a
//     symbolic link can leave, with modes 0700 and 0600 (S40);
//   - the limits of a file and of its owner hold exactly, also when uploads overlap;
//   - a link opens one variant of one file for one reader until it expires (S19), and
//     whoever a link names is asked for again when it is opened (S15).
//
// A JPEG becomes a JPEG of quality 85, a PNG a PNG, a WebP a JPEG, or a PNG where it
// is lossless or has transparency. GIF and animated WebP are not decoded frame by frame:
// their structure is read and copied, comments, profiles and unknown blocks left out.
// There is no WebP encoder among our dependencies, so avatars, WebP in chat-api.md
// §C.2, are JPEG here. Colour profiles go with the rest of the metadata.
//
// The package starts no goroutines. [Service.Sweep] is called by its owner from time
// to time; everything else runs in the caller's goroutine. A [Service] is safe for
// concurrent use.
package files
