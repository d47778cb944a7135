package protocol

// A Ref is a name that a client chose: of a message, or of a join. It is one
// JSON value of any type, held as it stood in the frame and echoed byte for
// byte; the empty Ref is null. To make one from text, use [NewRef].
//
// A Ref that came in a binary frame may hold bytes that are not UTF-8. It can
// be echoed in a binary frame, but not in one of text.
type Ref string

// Null is the Ref that is null, or not there.
const Null Ref = ""

// NewRef returns the Ref that is the string s.
func NewRef(s string) Ref {
	return Ref(view(appendQuoted(make([]byte, 0, len(s)+len(`""`)), s)))
}

// IsNull reports whether r is null.
func (r Ref) IsNull() bool {
	return r == Null || r == "null"
}

// Equal reports whether r and o are the same JSON value, however written: "1"
// is "\u0031" and 1.0 is 1.00, but 1, 1.0 and "1" are three values. Refs of
// more than 1 KiB are equal only if they are written alike.
func (r Ref) Equal(o Ref) bool {
	if r == o {
		return true
	}
	if r.IsNull() || o.IsNull() {
		return r.IsNull() && o.IsNull()
	}
	return equalValues(string(r), string(o))
}

// append appends r as JSON.
func (r Ref) append(dst []byte) []byte {
	if r == Null {
		return append(dst, "null"...)
	}
	return append(dst, r...)
}

// decodeRef returns raw, which is one JSON value or nothing, as a Ref.
func decodeRef(raw []byte) Ref {
	if string(raw) == "null" {
		return Null
	}
	return Ref(view(raw))
}
