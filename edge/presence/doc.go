// Package presence knows who is here, on all edges, and tells clients in the
// words of Phoenix Presence.
//
//	who := presence.New(srv, nil)
//	…
//	func (r *room) Join(ctx context.Context, s *edge.Socket, _ edge.Payload) (any, error) {
//		return nil, who.Track(s, r.user, map[string]any{"online_at": time.Now().Unix()})
//	}
//
// After the reply to its join the client gets presence_state, all who are there,
// and from then on a presence_diff for each change:
//
//	{"ann": {"metas": [{"online_at": 1795353650, "phx_ref": "GOpgohx3JeR92C1x"}]}}
//	{"joins": {"bob": {"metas": […]}}, "leaves": {}}
//
// What a channel tracks goes with it. Changes that come close together are told
// together. A room of more than [Options].CountAbove keys is only counted: its
// members get presence_count, {"count": 50000}, and an empty presence_state, and
// ask for as many names as they can show; see [Tracker.Handle].
//
// # Edges
//
// Each edge alone changes its own part of a room, so that parts never conflict,
// and a version number tells which of two is newer. What changes is said to the
// edges with members in the room. They see by the versions if they missed
// something, and ask for it; an edge that opens a room asks all others; and now
// and then each tells the versions of all its rooms.
//
// An edge that is silent for [Options].DeadAfter is dead, and its users are
// gone. One that is shut down says so: its users are then taken to be on their
// way, and one that joins elsewhere within [Options].Grace never appears to
// leave. An edge without a link to the others shows whom it knew, until it hears
// them again.
package presence
