package edge

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"sync"

	"github.com/aristochat/aristochat/protocol"
)

// A frame is a complete websocket frame from the server: unmasked,
// unfragmented, ready for the wire, shared by all who receive it.
type frame []byte

// Opcodes and bits of RFC 6455, section 5.2, and RFC 7692, section 6.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8

	finBit  = 0x80
	rsv1Bit = 0x40 // the message is compressed

	controlBit = 0x8 // of an opcode

	maxHeader = 10 // of an unmasked frame
)

// message returns what is in a frame that is not compressed.
func (f frame) message() (payload []byte, isBinary bool) {
	header := 2
	switch f[1] {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	return f[header:], f[0]&0xf == opBinary
}

// messages returns 1, or 0 if it is a control frame.
func (f frame) messages() int {
	if f[0]&controlBit != 0 {
		return 0
	}
	return 1
}

// frameOf encodes m as one frame.
func frameOf(v protocol.Version, deflate bool, m *protocol.Message) (frame, error) {
	buf := make([]byte, maxHeader, maxHeader+len(m.Payload)+len(m.Topic)+len(m.Event)+len(m.JoinRef)+len(m.Ref)+64)
	buf, isBinary, err := protocol.AppendServer(buf, v, m)
	if err != nil {
		return nil, err
	}
	first := byte(finBit | opText)
	if isBinary {
		first = finBit | opBinary
	}
	if deflate {
		buf = append(make([]byte, maxHeader, len(buf)), compress(buf[maxHeader:])...)
		first |= rsv1Bit
	}
	return withHeader(buf, first), nil
}

// withHeader writes the header into the maxHeader bytes before the payload and
// returns the frame, which begins where the header does.
func withHeader(buf []byte, first byte) frame {
	n := len(buf) - maxHeader
	switch {
	case n <= 125:
		buf = buf[maxHeader-2:]
		buf[1] = byte(n)
	case n <= 0xffff:
		buf = buf[maxHeader-4:]
		buf[1] = 126
		binary.BigEndian.PutUint16(buf[2:], uint16(n))
	default:
		buf[1] = 127
		binary.BigEndian.PutUint64(buf[2:], uint64(n))
	}
	buf[0] = first
	return buf
}

// closeFrame has a code and, as Phoenix does, no reason.
func closeFrame(code int) frame {
	return binary.BigEndian.AppendUint16(frame{finBit | opClose, 2}, uint16(code))
}

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails only for a bad level
	return w
}}

// compress returns the message as permessage-deflate sends it. It refers to no
// earlier message, which is legal whatever context takeover was negotiated, and
// lets all members share the result.
func compress(p []byte) []byte {
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	// Neither call fails on a bytes.Buffer.
	_, _ = w.Write(p)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// A broadcast is one message for many members: encoded once for each form in
// which a member wants it.
type broadcast struct {
	message protocol.Message
	forms   [2][2]struct {
		frame frame
		err   error
		done  bool
	}
}

func (b *broadcast) frame(v protocol.Version, deflate bool) (frame, error) {
	i, j := 0, 0
	if v == protocol.V2 {
		i = 1
	}
	if deflate {
		j = 1
	}
	f := &b.forms[i][j]
	if !f.done {
		f.frame, f.err = frameOf(v, deflate, &b.message)
		f.done = true
	}
	return f.frame, f.err
}
