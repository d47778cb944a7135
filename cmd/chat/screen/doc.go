// Package screen is the chat in a terminal: what a person sees and which keys
// do what.
//
// The [Model] is what is known, [Model.Update] is how that changes, and
// [Model.View] how it looks. All three run in one goroutine, bubbletea's. What
// others wrote passes through package text before it is drawn.
package screen
