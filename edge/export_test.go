package edge

import "time"

// AwaitAnswers gives clients so long to answer a close frame.
func (o *Options) AwaitAnswers(d time.Duration) { o.closeTimeout = d }

// AwaitLastWord gives connections that are cut off so long to write.
func (o *Options) AwaitLastWord(d time.Duration) { o.lastWord = d }

// Polling returns the name of the GET that waits for what comes next to a session
// of this edge, 0 if none does, and how many messages wait for a GET.
func (srv *Server) Polling(token string) (get uint64, queued int) {
	t, err := srv.longPoll.key.verify(token, time.Now())
	if err != nil {
		panic(err)
	}
	s := srv.longPoll.session(t.session)
	if s == nil {
		return 0, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		get = s.getter
	}
	return get, len(s.queue)
}

// Requests returns how many requests of sessions are under way on this edge.
func (srv *Server) Requests() (n int) {
	srv.longPoll.mu.Lock()
	defer srv.longPoll.mu.Unlock()
	for _, l := range srv.longPoll.loads {
		n += l.requests
	}
	return n
}

// PostBytes returns how many bytes of POSTs sessions hold on this edge.
func (srv *Server) PostBytes() (n int64) {
	srv.longPoll.mu.Lock()
	defer srv.longPoll.mu.Unlock()
	for _, l := range srv.longPoll.loads {
		n += l.bytes.Load()
	}
	return n
}

// SignToken returns the token of a session that the edge of that name may have.
func SignToken(secret, edge string, expires time.Time) string {
	return newTokenKey([]byte(secret)).sign(pollToken{edge: edge, session: newSessionID(), expires: expires.Unix()})
}
