package edge

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// tokenLife is how long a token is good for, as in Phoenix. A session that is
// still polled then begins anew.
const tokenLife = 14 * 24 * time.Hour

// A pollToken names a long-polling session. It tells every edge of the cluster
// which of them has the session.
type pollToken struct {
	edge    string // the owner's name
	session sessionID
	expires int64 // Unix seconds
}

// A sessionID is random, and so nobody's to guess.
type sessionID [16]byte

func newSessionID() (id sessionID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// A token is the base64url form of a version, the time at which it expires, the
// session, the name of its edge, and the HMAC-SHA256 of all that.
const (
	tokenVersion = 1
	tokenFixed   = 1 + 8 + len(sessionID{}) // what is before the name
	maxToken     = 512
)

var (
	tokenEncoding = base64.RawURLEncoding.Strict()

	errToken   = errors.New("not a token of ours")
	errExpired = errors.New("token has expired")
)

// A tokenKey signs tokens.
type tokenKey []byte

// newTokenKey derives the key from a secret that may have other uses.
func newTokenKey(secret []byte) tokenKey {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("aristochat long-polling token"))
	return mac.Sum(nil)
}

func (k tokenKey) mac(b []byte) []byte {
	mac := hmac.New(sha256.New, k)
	mac.Write(b)
	return mac.Sum(nil)
}

func (k tokenKey) sign(t pollToken) string {
	b := make([]byte, 0, tokenFixed+len(t.edge)+sha256.Size)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.expires))
	b = append(b, t.session[:]...)
	b = append(b, t.edge...)
	return tokenEncoding.EncodeToString(append(b, k.mac(b)...))
}

func (k tokenKey) verify(s string, now time.Time) (t pollToken, err error) {
	if len(s) > maxToken {
		return t, errToken
	}
	b, err := tokenEncoding.DecodeString(s) // which passes over line breaks
	if err != nil || len(b) < tokenFixed+sha256.Size || len(s) != tokenEncoding.EncodedLen(len(b)) {
		return t, errToken
	}
	signed := b[:len(b)-sha256.Size]
	if !hmac.Equal(k.mac(signed), b[len(signed):]) || signed[0] != tokenVersion {
		return t, errToken
	}
	t.expires = int64(binary.BigEndian.Uint64(signed[1:]))
	copy(t.session[:], signed[9:])
	t.edge = string(signed[tokenFixed:])
	if now.Unix() >= t.expires {
		return t, errExpired
	}
	return t, nil
}
