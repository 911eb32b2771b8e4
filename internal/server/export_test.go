package server

// Namespace is seen by tests.
var Namespace = namespace
