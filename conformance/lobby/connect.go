package lobby

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"

	"github.com/aristochat/aristochat/edge"
)

// connect refuses on demand and takes the username from the parameters, of
// whatever shape: it is the session's assigns.
func connect(_ context.Context, h *edge.Handshake) (edge.Session, error) {
	switch h.Params.Get("refuse") {
	case "error", "reason":
		return edge.Session{}, errors.New("refused")
	case "crash":
		panic("connect crashes on demand")
	}
	username, ok := h.Params["username"]
	if !ok {
		username = strconv.Itoa(1 + rand.IntN(99999)) //nolint:gosec // a name, not a secret
	}
	session := edge.Session{Assigns: username}
	if name, ok := username.(string); ok {
		session.ID = "users:" + name
	}
	return session, nil
}
