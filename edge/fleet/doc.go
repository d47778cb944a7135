// Package fleet knows which edges there are, how full they are, and how many
// clients each can bear to let in.
//
// Each edge says its [Status] every two seconds, and when it changes, as a
// control message of the kind "edge" ([edge.Backbone]; with NATS and the usual
// prefix the subject is chat.ctl.edge): one JSON object. A [Table] keeps the
// newest of each and forgets who is silent. Whoever only looks on has a Table; an
// edge is a [Member] besides, whose Pace is what [edge.Server.Drain] wants:
//
//	table, err := fleet.Watch(ctx, link, nil)
//	// …
//	member := table.Join(srv, nil)
//	// …
//	err = srv.Drain(ctx, member.Pace)
//
// Nothing here is exact: statuses are some seconds old, and clients choose their
// edge without it. What must hold is seen to where clients are let in.
package fleet
