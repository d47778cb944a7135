package edge

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// upgradeProblem says what keeps the request from being a websocket handshake,
// in the words of websock_adapter's upgrade_validation.ex, or "".
func upgradeProblem(r *http.Request) string {
	switch {
	case !r.ProtoAtLeast(1, 1):
		return fmt.Sprintf("HTTP version %s unsupported", r.Proto)
	case r.Host == "":
		return "'host' header is absent"
	case !listContains(r.Header["Connection"], "upgrade"):
		return fmt.Sprintf("'connection' header must contain 'upgrade', got %s", inspect(r.Header["Connection"]))
	case !listContains(r.Header["Upgrade"], "websocket"):
		return fmt.Sprintf("'upgrade' header must contain 'websocket', got %s", inspect(r.Header["Upgrade"]))
	case len(r.Header["Sec-Websocket-Key"]) == 0:
		return "'sec-websocket-key' header is absent"
	case !slices.Equal(r.Header["Sec-Websocket-Version"], []string{"13"}):
		return fmt.Sprintf("'sec-websocket-version' header must equal '13', got %s", inspect(r.Header["Sec-Websocket-Version"]))
	}
	return ""
}

func listContains(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// inspect writes a list of strings as Elixir does.
func inspect(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// upgrade answers 101 and starts the connection's reader; the handler may then
// return, and with it net/http lets go of the request.
func (srv *Server) upgrade(w http.ResponseWriter, r *http.Request, v protocol.Version, session Session, subprotocol string) {
	c := &websocketConn{}
	c.conn.init(srv, c, v, session)
	c.lastRead.Store(srv.clock())
	c.outbox.max, c.outbox.stats = srv.opts.OutboxBytes, &srv.stats
	// Whoever has seen the client connect must find it here.
	if err := srv.add(&c.conn); err != nil {
		c.conn.cancel()
		srv.busy(w, r, err)
		return
	}
	hj := &hijacker{ResponseWriter: w, conn: c, key: r.Header.Get("Sec-Websocket-Key"), offers: r.Header["Sec-Websocket-Extensions"]}
	ws, err := websocket.Accept(hj, hj.request(r), srv.acceptOptions(subprotocol))
	if err != nil {
		srv.stats.handshakes[handshakeFailed].Add(1)
		srv.log.Warn("upgrade failed", c.conn.attrs("error", err)...)
		c.conn.cancel()
		srv.remove(&c.conn)
		srv.wg.Done()
		return
	}
	ws.SetReadLimit(srv.opts.MaxMessage)
	c.ws = ws
	c.conn.deflate = w.Header().Get("Sec-Websocket-Extensions") != ""
	c.conn.connected("websocket")
	go c.serve()
}

func (srv *Server) acceptOptions(subprotocol string) *websocket.AcceptOptions {
	o := &websocket.AcceptOptions{InsecureSkipVerify: true} // CheckOrigin has decided
	if subprotocol != "" {
		o.Subprotocols = []string{subprotocol}
	}
	if srv.opts.Compress {
		// Of the client's messages; ours never refer to earlier ones.
		o.CompressionMode = websocket.CompressionContextTakeover
	}
	return o
}

// A hijacker stands between net/http and coder/websocket: it hands over small
// buffers and the conn in place of the bare connection, and accepts any
// Sec-WebSocket-Key, as Phoenix does.
type hijacker struct {
	http.ResponseWriter
	conn   *websocketConn
	key    string
	offers []string // of extensions
}

// Sizes of the buffers beneath coder/websocket. It reads messages past the
// buffer; what it writes are control frames, which must fit.
const (
	readBuffer  = 512
	writeBuffer = 256
)

// request returns r with a key that coder/websocket accepts.
func (h *hijacker) request(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	return r
}

// WriteHeader completes the headers of the answer.
func (h *hijacker) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		sum := sha1.Sum([]byte(h.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455, section 4.2.2
		h.Header().Set("Sec-Websocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
		h.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
		if chosen := h.Header().Get("Sec-Websocket-Extensions"); chosen != "" {
			h.Header().Set("Sec-Websocket-Extensions", deflateAnswer(chosen, h.offers))
		}
	}
	h.ResponseWriter.WriteHeader(status)
}

// deflateAnswer puts the accepted permessage-deflate in Phoenix's words: the
// offer as it came, with the full window where the client leaves it to us. Of
// several offers it does not know which was chosen, and leaves the answer.
func deflateAnswer(chosen string, offers []string) string {
	if len(offers) != 1 || strings.Contains(offers[0], ",") {
		return chosen
	}
	params := strings.Split(offers[0], ";")
	for i, p := range params {
		if params[i] = strings.TrimSpace(p); params[i] == "client_max_window_bits" {
			params[i] += "=15"
		}
	}
	return strings.Join(params, ";")
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// Frames that came with the handshake.
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		_ = nc.Close()
		return nil, nil, err
	}
	c := h.conn
	c.Conn = nc
	if len(early) > 0 {
		c.Conn = &earlyConn{Conn: nc, early: *bytes.NewReader(bytes.Clone(early))}
	}
	c.outbox.start(nc)
	return c, bufio.NewReadWriter(bufio.NewReaderSize(c, readBuffer), bufio.NewWriterSize(c, writeBuffer)), nil
}

// An earlyConn reads first what net/http had read ahead.
type earlyConn struct {
	net.Conn
	early bytes.Reader
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if c.early.Len() > 0 {
		return c.early.Read(p)
	}
	return c.Conn.Read(p)
}
