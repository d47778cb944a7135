package conformance

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

const rsv1 = 4 // the bit of Frame.RSV that marks a compressed message

// appendFrame appends f as a client sends it. The mask is always the same: the
// server must not care, and a trace stays readable.
func appendFrame(b []byte, f Frame) []byte {
	first := f.RSV<<4 | f.Opcode
	if f.Fin {
		first |= 0x80
	}
	var mask byte
	if f.Masked {
		mask = 0x80
	}
	b = append(b, first)
	switch n := len(f.Data); {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = append(b, mask|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, mask|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !f.Masked {
		return append(b, f.Data...)
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key[:]...)
	at := len(b)
	b = append(b, f.Data...)
	for i := range f.Data {
		b[at+i] ^= key[i%4]
	}
	return b
}

// readFrame reads one frame of a server.
func readFrame(r *bufio.Reader) (Frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{
		Fin:    head[0]&0x80 != 0,
		RSV:    head[0] >> 4 & 7,
		Opcode: head[0] & 0xf,
		Masked: head[1]&0x80 != 0,
	}
	size := uint64(head[1] & 0x7f)
	var long [8]byte
	switch size {
	case 126:
		if _, err := io.ReadFull(r, long[6:]); err != nil {
			return f, err
		}
		size = binary.BigEndian.Uint64(long[:])
	case 127:
		if _, err := io.ReadFull(r, long[:]); err != nil {
			return f, err
		}
		size = binary.BigEndian.Uint64(long[:])
	}
	if f.Masked {
		return f, fmt.Errorf("the server sent a masked frame, opcode %d", f.Opcode)
	}
	if size > 1<<28 {
		return f, fmt.Errorf("the server announced a frame of %d bytes", size)
	}
	f.Data = make([]byte, size)
	_, err := io.ReadFull(r, f.Data)
	return f, err
}

// closeFrame is the frame that carries c.
func closeFrame(c CloseFrame) Frame {
	f := Frame{Opcode: opClose, Fin: true, Masked: true}
	if c.Code != nil {
		f.Data = append(binary.BigEndian.AppendUint16(nil, uint16(*c.Code)), c.Reason...)
	}
	return f
}

// inflater decompresses the messages of one connection, each of which may
// refer to the text of those before it.
type inflater struct {
	window []byte // what was inflated last, at most 32 KiB
}

func (in *inflater) inflate(data []byte) ([]byte, error) {
	// The tail that RFC 7692 section 7.2.1 cuts off, and an empty last block
	// so that the reader sees the end.
	const tail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(data), bytes.NewReader([]byte(tail))), in.window)
	out, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("inflating %x: %w", data, err)
	}
	in.window = append(in.window, out...)
	if over := len(in.window) - 32<<10; over > 0 {
		in.window = append([]byte(nil), in.window[over:]...)
	}
	return out, nil
}

// String renders f for a failure message.
func (f Frame) String() string {
	plain := f.Fin && f.RSV&^rsv1 == 0
	switch {
	case plain && f.Opcode == opText && utf8.Valid(f.Data):
		return compressedWord(f) + "text " + abridge(string(f.Data))
	case plain && f.Opcode == opBinary:
		return compressedWord(f) + "binary " + abridge(fmt.Sprintf("%x", []byte(f.Data)))
	case plain && f.Opcode == opClose && len(f.Data) == 0:
		return "close without a code"
	case plain && f.Opcode == opClose && len(f.Data) >= 2:
		return fmt.Sprintf("close %d %q", binary.BigEndian.Uint16(f.Data), f.Data[2:])
	}
	return fmt.Sprintf("frame opcode=%d fin=%t rsv=%d %s", f.Opcode, f.Fin, f.RSV, abridge(fmt.Sprintf("%x", []byte(f.Data))))
}

func compressedWord(f Frame) string {
	if f.RSV == rsv1 {
		return "compressed "
	}
	return ""
}

// abridge keeps the two ends of a long text.
func abridge(s string) string {
	const most = 600
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s … %d bytes … %s", s[:most/2], len(s)-most, s[len(s)-most/2:])
}
