// Package room is what a reader knows of one room: what was said there, in
// order; what the reader wrote and has not come back yet; who is there and who
// is typing. It is data that one goroutine owns. It opens no connection and
// draws nothing.
package room
