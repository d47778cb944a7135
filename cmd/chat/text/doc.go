// Package text makes strangers' text fit to be shown in a terminal.
//
// What other people wrote, their names included, may hold bytes that a terminal
// obeys: it could move the cursor, change colours, turn the writing direction
// or ask the terminal for an answer that then counts as typed. [Body] and
// [Name] take all of that out, so that nothing of it reaches the screen, and
// [Measure] breaks and cuts what is left by the columns that it takes there.
package text
