// Package conformance replays wire transcripts of a Phoenix server against
// ours and says where the two differ.
//
// A [Case] is one recorded exchange: connections that are opened, frames that
// are sent, and what came back. [Case.Replay] plays the client's part over raw
// TCP, because the recordings hold what no client library can be made to send
// (unmasked frames, unknown opcodes, broken handshakes), and compares each
// answer by value:
//
//	cases, err := conformance.Load(file)
//	...
//	err = cases[0].Replay(ctx, conformance.Target{Addrs: map[string]string{"a": "127.0.0.1:4000"}})
//	// v2-join-ok: step 2: got text ["1","1","rooms:j1","phx_close",{}], want text ["1","1",...
//
// The recordings and their README are in testdata. The channels that they talk
// to are in package lobby, and as a command in fixture. The tests replay the
// recordings against it; where we answer otherwise on purpose stands, with the
// reason and the answer, in differences_test.go.
package conformance
