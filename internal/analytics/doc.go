// Package analytics keeps what is measured, and makes reports of it and of how the server
// is used.
//
// Services push metrics ([Service.Push]); this server is sampled every 10 s by what
// [Options.Source] tells of it. A value is stored, and announced where that is wanted, in
// one transaction; one that is pushed again changes nothing. Values are kept as they came
// for a day, by the minute for a month and by the hour for two years. What is coarser is
// computed from what is finer, in transactions that take the note of what has changed with
// them: so any number of nodes may do it, be killed in the middle, and nothing is counted
// twice or left out.
//
// Reports are jobs that survive a crash. They have numbers only: nothing in them names a
// person. A report, the end of its job and the event that tells of it are one transaction.
//
// [Service.Run] owns all goroutines and returns after the last has ended.
package analytics
