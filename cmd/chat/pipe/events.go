package pipe

import (
	"fmt"
	"time"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// remembered bounds the messages that are known to have been printed.
const remembered = 10_000

// Emit takes what the session tells. It returns when it is printed: a slow
// reader slows the session down.
func (p *Pipe) Emit(e talk.Event) {
	p.change(func() { p.happen(e) })
}

func (p *Pipe) happen(e talk.Event) {
	switch e := e.(type) {
	case talk.Link:
		p.link(e)
	case talk.Joined:
		p.entered = true
		if e.Restarted {
			p.room.Restart()
		}
		if e.Lost != "" {
			p.gap(e.Lost)
		}
		for _, m := range e.Past {
			p.print(m)
		}
	case talk.Refused:
		p.fatal = fmt.Errorf("the room %q is %w: %s", e.Room, ErrRefused, e.Reason)
	case talk.Said:
		p.print(e.Message)
	case talk.Sent:
		if _, ok := p.waiting[e.ClientID]; ok {
			delete(p.waiting, e.ClientID)
			p.copies[e.ClientID] = true
		}
	case talk.NotSent:
		p.notSent(e)
	case talk.Trouble:
		if e.Text != p.trouble { // said once
			p.warn(e.Text)
		}
		p.trouble = e.Text
	}
}

// print prints a message that was not printed yet.
func (p *Pipe) print(m room.Message) {
	_, own := p.waiting[m.ClientID]
	own = own || p.copies[m.ClientID]
	delete(p.copies, m.ClientID)
	delete(p.waiting, m.ClientID) // it needs no other acknowledgement
	if p.room.Receive(m) == nil {
		return
	}
	if p.room.Len() > 2*remembered {
		p.room.Trim(remembered)
	}
	if p.opts.JSON {
		p.write(marshal(messageLine(p.opts.Room, m, own)))
		return
	}
	p.write(plain(m, time.Local))
}

func (p *Pipe) notSent(e talk.NotSent) {
	body, ok := p.waiting[e.ClientID]
	if !ok {
		return
	}
	delete(p.waiting, e.ClientID)
	p.failed++
	if p.opts.JSON {
		p.write(marshal(line{Type: "failed", Room: e.Room, Body: &body, ClientID: e.ClientID, Reason: e.Reason}))
	}
	const most = 60
	if runes := []rune(body); len(runes) > most {
		body = string(runes[:most]) + "…"
	}
	p.warn(fmt.Sprintf("not sent: %s: %s", body, e.Reason))
}

func (p *Pipe) gap(why string) {
	if p.opts.JSON {
		p.write(marshal(line{Type: "gap", Room: p.opts.Room, Reason: why}))
	}
	p.warn("messages may be missing here: " + why)
}

// link tells when the connection is lost and when it is back.
func (p *Pipe) link(l talk.Link) {
	switch {
	case !l.Up && !p.down:
		p.warn(talk.Explain(l.Err, p.opts.Server).Text + "; trying again")
	case l.Up && p.down:
		p.warn("connected again")
	}
	p.down = !l.Up
}

// write prints a line. If nobody takes it, all is over.
func (p *Pipe) write(b []byte) {
	if _, err := p.opts.Out.Write(b); err != nil && p.fatal == nil {
		p.fatal = fmt.Errorf("writing: %w", err)
	}
}

func (p *Pipe) warn(s string) {
	fmt.Fprintf(p.opts.Err, "chat: %s\n", text.Name(s))
}
