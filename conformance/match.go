package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A want is a step that receives.
type want struct {
	index int
	*Step
	idle time.Duration // if not zero, how long the connection was idle before its close
}

func (p *player) want(i int) want {
	w := want{index: i, Step: &p.c.Steps[i]}
	if w.Close != nil && i > 0 {
		w.idle = p.target.ms(p.c.Steps[i-1].IdleMSAbout)
	}
	return w
}

func (w want) String() string {
	switch {
	case w.Recv != nil:
		f := Frame{Opcode: opText, Fin: true, Data: []byte(*w.Recv)}
		if w.Compressed {
			f.RSV = rsv1
		}
		return f.String()
	case w.RecvBin != nil:
		return Frame{Opcode: opBinary, Fin: true, Data: *w.RecvBin}.String()
	case w.RecvFrame != nil:
		return w.RecvFrame.String()
	case w.Close != nil:
		return closeFrame(*w.Close).String()
	}
	return "the end of the connection"
}

func wants(ws []want) string {
	var texts []string
	for _, w := range ws {
		texts = append(texts, w.String())
	}
	return "any of\n\t" + strings.Join(texts, "\n\t")
}

func mismatch(conn string, got event, want string, why error) error {
	if why != nil {
		return fmt.Errorf("on %s:\n\tgot  %s\n\twant %s\n\t%w", conn, got, want, why)
	}
	return fmt.Errorf("on %s:\n\tgot  %s\n\twant %s", conn, got, want)
}

var errOther = errors.New("they are of different kinds")

// match compares an event with what a step wants. Dynamic values become known
// only if it matches.
func (p *player) match(e event, w want) error {
	if w.EOF {
		if !e.isEOF() {
			return errOther
		}
		return nil
	}
	if e.err != nil {
		return errOther
	}
	f := e.frame
	rsv := byte(0)
	if w.Compressed {
		rsv = rsv1
	}
	switch {
	case w.Recv != nil:
		if f.Opcode != opText || !f.Fin || f.RSV != rsv {
			return errOther
		}
		return p.matchText(w.index, string(f.Data), string(*w.Recv))
	case w.RecvBin != nil:
		if f.Opcode != opBinary || !f.Fin || f.RSV != rsv || !slices.Equal(f.Data, *w.RecvBin) {
			return errors.New("the bytes differ")
		}
	case w.RecvFrame != nil:
		if f.Opcode != w.RecvFrame.Opcode || f.Fin != w.RecvFrame.Fin || f.RSV != w.RecvFrame.RSV || !slices.Equal(f.Data, w.RecvFrame.Data) {
			return errors.New("the frames differ")
		}
	case w.Close != nil:
		if f.Opcode != opClose || f.RSV != 0 || !f.Fin {
			return errOther
		}
		if err := matchClose(f, w); err != nil {
			return err
		}
		return matchIdle(e.idle, w.idle)
	}
	return nil
}

func (p *player) matchText(step int, got, want string) error {
	wanted, err := parseJSON(want)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	value, err := parseJSON(got)
	if err != nil {
		return err
	}
	return p.matchValue(step, value, wanted)
}

// matchValue compares values, of which the dynamic ones only have to be of the
// kind and to agree with those seen before.
func (p *player) matchValue(step int, got, want any) error {
	seen := maps.Clone(p.seen)
	if err := seen.matchDynamic(p.c.Dynamic, step, got, want); err != nil {
		return err
	}
	if d := diff(got, want); d != "" {
		return errors.New(d)
	}
	p.seen = seen
	return nil
}

func matchClose(f Frame, w want) error {
	if w.Close.Code == nil {
		if len(f.Data) != 0 {
			return errors.New("the close frame is not empty")
		}
		return nil
	}
	if len(f.Data) < 2 {
		return errors.New("the close frame has no code")
	}
	code := int(binary.BigEndian.Uint16(f.Data))
	if code != *w.Close.Code && !slices.Contains(w.OrCodes, code) {
		return errors.New("the codes differ")
	}
	if reason := string(f.Data[2:]); reason != w.Close.Reason {
		return errors.New("the reasons differ")
	}
	return nil
}

// matchIdle compares how long a connection was idle before the server closed
// it. Servers look now and then, and may be busy, so it may take longer, but never less.
func matchIdle(got, want time.Duration) error {
	if want > 0 && (got < want-30*time.Millisecond || got > want+patience) {
		return fmt.Errorf("closed after %s, want %s", got.Round(time.Millisecond), want)
	}
	return nil
}
