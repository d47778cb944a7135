package client

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/aristochat/aristochat/protocol"
)

// address returns where the websocket is. The path may end in /websocket or
// not; params are added to those that rawURL has.
func address(rawURL string, params url.Values) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("client: address: %w", err)
	}
	switch strings.ToLower(u.Scheme) {
	case "ws", "http":
		u.Scheme = "ws"
	case "wss", "https":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("client: address %q must begin with ws://, wss://, http:// or https://", rawURL)
	}
	if u.Hostname() == "" {
		return "", fmt.Errorf("client: address %q has no host", rawURL)
	}
	const suffix = "/websocket"
	if u = u.JoinPath(); !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), suffix) {
		u = u.JoinPath(suffix)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("client: address %q: %w", rawURL, err)
	}
	maps.Copy(query, params)
	query.Set("vsn", protocol.V2.String())
	u.RawQuery, u.Fragment, u.RawFragment = query.Encode(), "", ""
	return u.String(), nil
}

// subprotocols carries a token as phoenix.js does (socket.js, transportConnect):
// in the standard alphabet, whatever the prefix says, since it is what Phoenix
// decodes.
func subprotocols(token string) []string {
	if token == "" {
		return nil
	}
	return []string{"phoenix", "base64url.bearer.phx." + base64.RawStdEncoding.EncodeToString([]byte(token))}
}
