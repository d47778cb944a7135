// Package rooms is the chat: the topics rooms:NAME, which anybody may join.
//
// It is the successor of Aristochat's RoomChannel. The same clients work with
// it; besides, messages are acknowledged, and with a history they carry a
// sequence and a time and can be asked for later.
//
//	→ chat_msg {"body": "hi"}              ← ok {"seq": 7, "at": "2026-…Z"}
//	  everybody gets chat_msg {"body": "hi", "username": "ann", "seq": 7, "at": "2026-…Z"}
//	→ typing {"typing": true}              ← ok {}
//	  the others get typing {"username": "ann", "typing": true, "ttl_ms": 6000}
package rooms
