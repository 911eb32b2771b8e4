// Package privacy is what the law asks of who keeps other people's words: a copy of
// everything a person may see ([Service.RequestExport]), erasure of a person
// ([Service.RequestErasure]), an end for old messages (retention), and a record of what
// administrators did ([Service.Audit]).
//
// What takes long is a job, a row of the database. Of all nodes one does it, in steps
// that each are one short transaction, so that writers are not held up; after a crash
// another goes on where it ended, because every step looks for what is left to do. A
// legal hold on a person stops both erasure and retention of what they have part in, one
// on a chat stops both in that chat; a job that meets a hold waits until it is lifted.
//
// An erased person keeps a number, "Deleted account", in messages that others may still
// see. Names, addresses, sessions, keys, files, contacts and whatever else describes the
// person are gone from every table, the event log included. With [Erase] so is what they
// wrote; copies that others forwarded are those others', without the name. Packages that
// keep rows of people beside chats are a [Part] of exports and erasures.
//
// [Service.Run] owns all goroutines and returns after the last has ended. A [Service] is
// safe for concurrent use.
package privacy
