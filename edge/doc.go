// Package edge is Phoenix Channels for Go: a server to which every Phoenix
// client library can talk unchanged, and whose replicas act as one over a
// [Backbone].
//
// A client opens a socket, over which it joins channels, one for each topic.
// The application implements [Channel] and says which topics it serves:
//
//	link, err := backbone.Connect(ctx, &backbone.Options{URLs: urls})
//	…
//	srv, err := edge.New(link, &edge.Options{Connect: authenticate})
//	…
//	srv.Channel("rooms:*", func() edge.Channel { return &room{} })
//	http.ListenAndServe(":4000", srv) // ws://…:4000/socket/websocket
//
// A panic in a handler ends its channel; the connection and its other channels
// live on. Nothing is dropped silently: a client that does not keep up is closed
// with a code upon which it reconnects.
//
// With the option [Stored] events of a channel are kept: they get a sequence,
// reach every member in one order, and a client that was away asks for what it
// missed in its join params. The backbone must then be a [History].
package edge
