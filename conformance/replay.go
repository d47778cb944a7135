package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	patience = 30 * time.Second      // for what has to arrive
	settling = 40 * time.Millisecond // for what must not, at the end of a case
	underWay = 2 * time.Second       // for a server, a busy one too, to have a request that stays open
)

// A Target is what a case is replayed against.
type Target struct {
	// Addrs has the host:port of each node. A node that is not in it is "a".
	Addrs map[string]string
	// Stop ends the server as SIGTERM does and returns when it has ended.
	Stop func() error
	// Slower is how many times as long as recorded the server's time-outs are,
	// and with them the client's waits, so that on a busy machine it still sends
	// in time. If zero, once.
	Slower int
}

func (t Target) addr(node string) string {
	if addr, ok := t.Addrs[node]; ok {
		return addr
	}
	return t.Addrs["a"]
}

// Replay plays the client's part of the case and compares what comes back. The
// error names the case and the step, what was got, and what was wanted.
func (c *Case) Replay(ctx context.Context, target Target) error {
	p := &player{
		ctx: ctx, c: c, target: target,
		conns: map[string]*conn{}, seen: bindings{}, captured: map[string]string{}, requests: map[string]chan answer{},
	}
	defer p.end()
	for i := 0; i < len(c.Steps); {
		n, err := p.step(i)
		if err != nil {
			return fmt.Errorf("%s: step %d: %w", c.ID, i, err)
		}
		i += n
	}
	if err := p.settle(); err != nil {
		return fmt.Errorf("%s: after the last step: %w", c.ID, err)
	}
	return nil
}

// ms is a time of the recording, for this target.
func (t Target) ms(n int) time.Duration {
	return time.Duration(n*max(1, t.Slower)) * time.Millisecond
}

// player replays one case.
type player struct {
	ctx    context.Context
	c      *Case
	target Target

	conns    map[string]*conn
	sender   *conn             // the one with frames that wait for flush
	seen     bindings          // dynamic values
	captured map[string]string // from bodies, for later requests
	requests map[string]chan answer
	stopped  chan error // set once Stop was called
}

// step plays step i, and those after it that belong to it. It returns how many.
func (p *player) step(i int) (int, error) {
	s := &p.c.Steps[i]
	if s.sends() {
		return 1, p.send(s)
	}
	p.flush()
	switch {
	case s.Open != nil:
		return 1, p.open(s)
	case s.receives() && p.c.Unordered:
		n := 1
		for i+n < len(p.c.Steps) && p.c.Steps[i+n].receives() {
			n++
		}
		return n, p.receiveUnordered(i, n)
	case s.receives():
		return 1, p.receive(i)
	case s.Drop:
		c, err := p.conn(s)
		if err != nil {
			return 0, err
		}
		c.drop()
		delete(p.conns, s.connName())
	case s.QuietMS > 0:
		return 1, p.quiet(p.target.ms(s.QuietMS))
	case s.WaitMS > 0:
		return 1, p.wait(p.target.ms(s.WaitMS))
	case s.IdleMSAbout > 0: // checked by the close that follows
	case s.HTTPStart != "":
		p.requests[s.HTTPStart] = p.startRequest(s.HTTP)
		return 1, p.wait(underWay)
	case s.HTTPEnd != "":
		return 1, p.endRequest(i, p.requests[s.HTTPEnd])
	case s.HTTP != nil:
		return 1, p.endRequest(i, p.startRequest(s.HTTP))
	case s.ServerSigterm:
		p.stopped = make(chan error, 1)
		go func() { p.stopped <- p.target.Stop() }()
	default:
		return 0, errors.New("the replayer does not know this step")
	}
	return 1, nil
}

func (s *Step) sends() bool {
	return s.Send != nil || s.SendBin != nil || s.SendFrame != nil || s.SendRawHex != nil || s.SendClose != nil
}

func (s *Step) receives() bool {
	return s.Recv != nil || s.RecvBin != nil || s.RecvFrame != nil || s.Close != nil || s.EOF
}

func (s *Step) connName() string {
	if s.Conn == "" {
		return "a"
	}
	return s.Conn
}

func (p *player) conn(s *Step) (*conn, error) {
	c, ok := p.conns[s.connName()]
	if !ok {
		return nil, fmt.Errorf("connection %s is not open", s.connName())
	}
	return c, nil
}

func (p *player) send(s *Step) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	if c != p.sender {
		p.flush()
		p.sender = c
	}
	switch {
	case s.Send != nil:
		c.queue(Frame{Opcode: opText, Fin: true, Masked: true, Data: []byte(*s.Send)})
	case s.SendBin != nil:
		c.queue(Frame{Opcode: opBinary, Fin: true, Masked: true, Data: *s.SendBin})
	case s.SendFrame != nil:
		c.queue(*s.SendFrame)
	case s.SendRawHex != nil:
		c.out = append(c.out, *s.SendRawHex...)
	case s.SendClose != nil:
		c.queue(closeFrame(*s.SendClose))
	}
	return nil
}

func (p *player) flush() {
	if p.sender != nil {
		p.sender.flush()
		p.sender = nil
	}
}

// receive takes the next event of a connection and compares it with step i.
func (p *player) receive(i int) error {
	w := p.want(i)
	c, err := p.conn(w.Step)
	if err != nil {
		return err
	}
	e, err := c.next(p.ctx)
	if err != nil {
		return fmt.Errorf("%w, want %s", err, w)
	}
	if err := p.match(e, w); err != nil {
		return mismatch(w.connName(), e, w.String(), err)
	}
	return nil
}

// receiveUnordered takes the events of n steps from i on. The frames of one
// connection may come in any order; its end comes last.
func (p *player) receiveUnordered(i, n int) error {
	var names []string
	frames, ends := map[string][]want{}, map[string]bool{}
	for ; n > 0; i, n = i+1, n-1 {
		w := p.want(i)
		name := w.connName()
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if w.EOF {
			ends[name] = true
		} else {
			frames[name] = append(frames[name], w)
		}
	}
	for _, name := range names {
		c, ok := p.conns[name]
		if !ok {
			return fmt.Errorf("connection %s is not open", name)
		}
		open := slices.Concat(c.late, frames[name])
		required := func(w want) bool { return !w.Optional }
		for slices.ContainsFunc(open, required) {
			e, err := c.next(p.ctx)
			if err != nil {
				return fmt.Errorf("on %s: %w, want %s", name, err, wants(open))
			}
			k := slices.IndexFunc(open, func(w want) bool { return p.match(e, w) == nil })
			if k < 0 {
				return mismatch(name, e, wants(open), nil)
			}
			open = slices.Delete(open, k, k+1)
		}
		c.late = open
		if ends[name] {
			e, err := c.next(p.ctx)
			if err == nil && !e.isEOF() {
				err = mismatch(name, e, "the end of the connection", nil)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// quiet waits, and wants nothing to arrive meanwhile.
func (p *player) quiet(d time.Duration) error {
	if err := p.wait(d); err != nil {
		return err
	}
	for name, c := range p.conns {
		if c.ended {
			continue
		}
		if e, ok := c.poll(); ok && !p.isLate(c, e) {
			return mismatch(name, e, "nothing", nil)
		}
	}
	return nil
}

func (p *player) isLate(c *conn, e event) bool {
	i := slices.IndexFunc(c.late, func(w want) bool { return p.match(e, w) == nil })
	if i < 0 {
		return false
	}
	c.late = slices.Delete(c.late, i, i+1)
	return true
}

func (p *player) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// settle sees that nothing more arrives: each open connection answers a ping,
// before which nothing else comes, and is then quiet for a moment.
func (p *player) settle() error {
	p.flush()
	if p.stopped != nil {
		select {
		case err := <-p.stopped:
			return err
		case <-time.After(2 * patience):
			return errors.New("the server has not ended")
		}
	}
	for name, c := range p.conns {
		if c.ended || c.closing.Load() {
			continue
		}
		ping := Frame{Opcode: opPing, Fin: true, Masked: true, Data: Hex("settled")}
		c.write(appendFrame(nil, ping))
		for {
			e, err := c.next(p.ctx)
			if err != nil {
				return fmt.Errorf("on %s: %w, want a pong", name, err)
			}
			if e.err == nil && e.frame.Opcode == opPong && string(e.frame.Data) == "settled" {
				break
			}
			if !p.isLate(c, e) {
				return mismatch(name, e, "nothing more", nil)
			}
		}
	}
	return p.quiet(settling)
}

func (p *player) end() {
	for _, c := range p.conns {
		c.drop()
	}
}
