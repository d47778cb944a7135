// Package talk brings rooms over the wire: it joins them on a Phoenix Channels
// server, resumes after a lost connection where it stopped, sends messages
// until they are acknowledged, and tells what happens as [Event]s.
//
// It speaks docs/protocol.md, and makes do with less: a Phoenix server with
// nothing but Aristochat's ancestor's RoomChannel knows chat_msg only, answers
// it with a broadcast instead of a reply, and crashes the channel for whatever
// else it is sent. So nothing else is sent before the server has shown that it
// knows more.
package talk
