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
//
// Everybody sees who is in the room, with Phoenix Presence: presence_state
// after the join, presence_diff from then on. The key is the user's name; a
// client may add a status and a device, in its join params or later.
//
//	→ presence {"status": "away"}          ← ok {}
//	  presence_diff {"joins": {"ann": {"metas": [{"online_at": 1795353650, "status": "away", …}]}}, "leaves": …}
//
// In a room of more than 500 names members are told how many there are, by
// presence_count, and ask for the names as far as they need them:
//
//	→ presence_list {"after": "ann", "limit": 50}   ← ok {"presences": {…}, "count": 50000, "next": "bob"}
package rooms
