// Package protocol holds the words that a Phoenix Channels client and server
// exchange. It serves both ends, opens no connection and starts no goroutine.
//
// A message has five parts: join_ref, ref, topic, event and payload. V1 writes
// it as a JSON object, V2 as a JSON array:
//
//	{"topic":"rooms:main","event":"chat_msg","payload":{"body":"hi"},"ref":"2"}
//	["1","2","rooms:main","chat_msg",{"body":"hi"}]
//
// and V2 has a binary form for a payload that is not JSON. An exchange in V2,
// where → is from the client:
//
//	→ ["1","1","rooms:main","phx_join",{}]
//	← ["1","1","rooms:main","phx_reply",{"status":"ok","response":{}}]
//	→ ["1","2","rooms:main","chat_msg",{"body":"hi"}]
//	← [null,null,"rooms:main","chat_msg",{"body":"hi","username":"ann"}]
//	← ["1","2","rooms:main","phx_reply",{"status":"ok","response":{}}]
//	→ ["1","3","rooms:main","phx_leave",{}]
//	← ["1","3","rooms:main","phx_reply",{"status":"ok","response":{}}]
//	← ["1","1","rooms:main","phx_close",{}]
//
// Refs and payloads are opaque. They are decoded as the bytes that arrived and
// written as they are, so that a number keeps its type, its digits and its
// precision. [DecodeClient] and [AppendServer] are the server's half,
// [AppendClient] and [DecodeServer] the client's.
package protocol
