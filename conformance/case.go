package conformance

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A Case is one recorded exchange with a server.
type Case struct {
	ID      string  `json:"id"`
	Group   string  `json:"group"`
	Vsn     *string `json:"vsn"`
	Profile string  `json:"profile"`
	URL     string  `json:"url"`
	Note    string  `json:"note"`

	// Unordered says that the frames that arrive on one connection between two
	// actions may come in any order.
	Unordered bool `json:"unordered"`

	Steps   []Step    `json:"steps"`
	Dynamic []Dynamic `json:"dynamic"`

	// The same exchange with the other of Phoenix's web servers, if that
	// answered otherwise.
	CowboySteps   []Step    `json:"cowboy_steps"`
	CowboyDynamic []Dynamic `json:"cowboy_dynamic"`
}

// A Step is one thing that the client did or that reached it. The members that
// are set say which.
type Step struct {
	// Conn names the connection, "a" if empty.
	Conn string `json:"conn"`

	Open     *Open     `json:"open"`
	Response *Response `json:"response"` // to Open, HTTP or HTTPEnd

	Send       *Text       `json:"send"`
	SendBin    *Hex        `json:"send_bin"`
	SendFrame  *Frame      `json:"send_frame"`
	SendRawHex *Hex        `json:"send_raw_hex"`
	SendClose  *CloseFrame `json:"send_close"`
	Drop       bool        `json:"drop"`

	Recv       *Text       `json:"recv"`
	RecvBin    *Hex        `json:"recv_bin"`
	RecvFrame  *Frame      `json:"recv_frame"`
	Close      *CloseFrame `json:"close"`
	OrCodes    []int       `json:"or_codes"` // of Close
	EOF        bool        `json:"eof"`
	Compressed bool        `json:"compressed"` // of Recv
	Optional   bool        `json:"optional"`   // of Recv

	QuietMS     int `json:"quiet_ms"`
	WaitMS      int `json:"wait_ms"`
	IdleMSAbout int `json:"idle_ms_about"` // of the Close that follows

	HTTP      *Request `json:"http"`
	HTTPStart string   `json:"http_start"`
	HTTPEnd   string   `json:"http_end"`
	Racy      bool     `json:"racy"` // the answer depends on timing

	ServerSigterm bool `json:"server_sigterm"`
}

// Open is a websocket handshake.
type Open struct {
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Node    string            `json:"node"`
	// Handshake changes the default request. A value is a string; false or
	// null leaves the header out.
	Handshake map[string]any `json:"handshake"`
}

// A Request is one of HTTP, on a connection of its own.
type Request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    Text              `json:"body"`
	Node    string            `json:"node"`
}

// A Response is what a handshake or a request was answered with.
type Response struct {
	Status         int               `json:"status"`
	Headers        map[string]string `json:"headers"`
	Body           Text              `json:"body"`
	ElapsedMSAbout int               `json:"elapsed_ms_about"`
	// Capture stores values of the body for use in later steps: name to JSON
	// pointer.
	Capture map[string]string `json:"capture"`
}

// A Frame is a websocket frame, spelled out.
type Frame struct {
	Opcode byte `json:"opcode"`
	Fin    bool `json:"fin"`
	RSV    byte `json:"rsv"` // 4 is RSV1, which marks a compressed message
	Masked bool `json:"masked"`
	Data   Hex  `json:"hex"`
}

// A CloseFrame is the content of a close frame. A nil Code is an empty frame.
type CloseFrame struct {
	Code   *int   `json:"code"`
	Reason string `json:"reason"`
}

// A Dynamic says that a value differs from run to run.
type Dynamic struct {
	Ref
	Kind string `json:"kind"`
	// SameAs names the value that this one equals.
	SameAs *Ref `json:"same_as"`
}

// A Ref is the place of a value: a JSON pointer into what arrived at a step,
// and for long-polling one into the message inside it.
type Ref struct {
	Step  int    `json:"step"`
	Path  string `json:"path"`
	Inner string `json:"inner"`
}

// Text is a string, recorded in full or as parts to be repeated.
type Text string

// UnmarshalJSON reads "..." or {"gen": ["...", {"rep": "x", "n": 5000}]}.
func (t *Text) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	var long struct{ Gen []json.RawMessage }
	if err := json.Unmarshal(data, &long); err != nil {
		return err
	}
	var b strings.Builder
	for _, part := range long.Gen {
		var rep struct {
			Rep string
			N   int
		}
		if part[0] == '"' {
			rep.N = 1
			if err := json.Unmarshal(part, &rep.Rep); err != nil {
				return err
			}
		} else if err := json.Unmarshal(part, &rep); err != nil {
			return err
		}
		b.WriteString(strings.Repeat(rep.Rep, rep.N))
	}
	*t = Text(b.String())
	return nil
}

// Hex is bytes, recorded in hexadecimal.
type Hex []byte

// UnmarshalText decodes hexadecimal digits.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// Load reads cases, one JSON object a line.
func Load(r io.Reader) ([]Case, error) {
	var cases []Case
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var c Case
			dec := json.NewDecoder(bytes.NewReader(line))
			dec.DisallowUnknownFields() // what is not understood is not replayed
			if err := dec.Decode(&c); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			cases = append(cases, c)
		}
		if err == io.EOF {
			return cases, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading line %d: %w", n, err)
		}
	}
}
