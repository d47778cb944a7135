package tail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds what a line shows of a payload, in characters.
const maxShown = 240

// text is an event as a line for people. What strangers have written cannot
// move the cursor, change colours or turn the direction of writing.
func (e *event) text(zone *time.Location) string {
	seq, what := "-", e.Event
	if e.Seq != 0 {
		seq = strconv.FormatUint(e.Seq, 10)
	}
	if what == "" {
		what = e.Kind
	}
	who := e.User
	if who == "" {
		who = "-"
	}
	line := fmt.Sprintf("%s %7s %-18s %-12s %-9s %s", e.At.In(zone).Format("15:04:05.000"), seq,
		shown(e.Topic), shown(who), shown(what), shown(e.content()))
	return strings.TrimRight(line, " ")
}

// content is the body of a chat message, or the payload.
func (e *event) content() string {
	switch {
	case e.Dropped != "":
		return fmt.Sprintf("(%d bytes that edges drop: %s)", len(e.Payload)+len(e.Binary), e.Dropped)
	case e.Binary != nil:
		return fmt.Sprintf("(%d bytes, not JSON)", len(e.Binary))
	case e.Payload == nil:
		return ""
	}
	var chat struct {
		Body *string `json:"body"`
	}
	if json.Unmarshal(e.Payload, &chat) == nil && chat.Body != nil {
		return *chat.Body
	}
	var b bytes.Buffer
	if json.Compact(&b, e.Payload) != nil {
		return string(e.Payload)
	}
	return b.String()
}

// shown is s, shortened, with an escape in place of each character that is not
// to be seen.
func shown(s string) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > maxShown {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// json is an event as a line for programs. Outside of strings JSON has no
// character that needs an escape, so that any may be escaped where it stands.
func (e *event) json() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	line := strings.TrimSuffix(b.String(), "\n")
	if strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return []byte(line), nil
	}
	out := make([]byte, 0, len(line)+32)
	for _, r := range line {
		switch {
		case unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r <= 0xFFFF:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		}
	}
	return out, nil
}
