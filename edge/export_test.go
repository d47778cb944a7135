package edge

import "time"

// SignToken returns the token of a session that the edge of that name may have.
func SignToken(secret, edge string, expires time.Time) string {
	return newTokenKey([]byte(secret)).sign(pollToken{edge: edge, session: newSessionID(), expires: expires.Unix()})
}
