package protocol

// The statuses that clients know. A reply may have any other.
const (
	StatusOK    = "ok"
	StatusError = "error"
)

// appendReply appends the payload of a reply.
func appendReply(dst []byte, status string, response []byte) []byte {
	dst = append(dst, `{"status":`...)
	dst = appendQuoted(dst, status)
	dst = append(dst, `,"response":`...)
	dst = appendJSON(dst, response)
	return append(dst, '}')
}

// parseReply takes the payload of a reply apart. ok is false unless payload is
// an object of exactly a status, which is a string, and a response.
func parseReply(payload []byte) (status string, response []byte, ok bool) {
	var rawStatus []byte
	members := 0
	err := eachMember(payload, func(key string, value []byte) {
		members++
		switch key {
		case "status":
			rawStatus = value
		case "response":
			response = value
		}
	})
	if err != nil || members != 2 || rawStatus == nil || rawStatus[0] != '"' || response == nil {
		return "", nil, false
	}
	return unquote(rawStatus), response, true
}
