// Package pipe is the chat for programs: each line that is read is said, and
// each message of the room is a line that is printed.
//
// Lines are meant for people, "16:00:46 bob: hi ann", or are JSON objects:
//
//	{"type":"message","room":"main","username":"bob","body":"hi ann","at":"2026-11-22T16:00:46Z","seq":7,"client_id":"…","own":false}
//	{"type":"gap","room":"main","reason":"no longer kept"}
//	{"type":"failed","room":"main","body":"hi","client_id":"…","reason":"body is blank"}
//
// A message whose room keeps no history has no seq, and the time of its arrival
// as at. A gap says that messages are missing from here on: the connection was
// lost, and the server cannot give all that was said meanwhile.
package pipe
