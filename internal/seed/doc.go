// Package seed fills a database with people who know each other and what they wrote to
// each other, in Russian and in English, for a demo and for trying things.
//
// [Fill] does it through the services that real people use, so everything that holds of
// real data holds of this: events, unread counts, previews, search. It moves the [Clock]
// that these services were given, so that the conversations look like those of the last
// weeks. Who they are is in cast.go, what they say in the files called talk; pictures are
// drawn in code.
//
// The package starts no goroutines.
package seed
