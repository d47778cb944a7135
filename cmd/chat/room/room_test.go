package room_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aristochat/aristochat/cmd/chat/room"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func msg(seq uint64, from, body string) room.Message {
	return room.Message{Seq: seq, From: from, Body: body, At: noon.Add(time.Duration(seq) * time.Second)}
}

func own(seq uint64, id, body string) room.Message {
	m := msg(seq, "ann", body)
	m.ClientID = id
	return m
}

// bodies are what stands in a room, top to bottom.
func bodies(r *room.Room) (list []string) {
	for i := range r.Len() {
		list = append(list, r.At(i).Body)
	}
	return list
}

func want(t *testing.T, r *room.Room, list ...string) {
	t.Helper()
	if got := bodies(r); !slices.Equal(got, list) {
		t.Errorf("got %q, want %q", got, list)
	}
}

func TestOrderIsTheServers(t *testing.T) {
	r := room.New("main", "ann")
	for _, seq := range []uint64{10, 30, 20, 40, 5} {
		r.Receive(msg(seq, "bob", string(rune('a'+seq/5))))
	}
	want(t, r, "b", "c", "e", "g", "i")
	if got := r.Oldest(); got != 5 {
		t.Errorf("Oldest = %d, want 5", got)
	}
}

func TestTwiceIsOnce(t *testing.T) {
	r := room.New("main", "ann")
	for range 2 {
		r.Receive(msg(7, "bob", "hi"))
	}
	want(t, r, "hi")

	// A server that keeps nothing numbers nothing.
	r = room.New("main", "ann")
	for range 2 {
		m := msg(0, "bob", "hi")
		m.ClientID = "x"
		r.Receive(m)
	}
	want(t, r, "hi")
	r.Receive(msg(0, "bob", "hi")) // perhaps he means it
	want(t, r, "hi", "hi")
	m := msg(0, "mallory", "not hi")
	m.ClientID = "x" // bob's
	r.Receive(m)
	want(t, r, "hi", "hi", "not hi")
}

func TestOwnMessageArrives(t *testing.T) {
	r := room.New("main", "ann")
	r.Receive(msg(1, "bob", "one"))
	e := r.Compose("id", "mine", noon)
	want(t, r, "one", "mine")
	if e.State != room.Sending {
		t.Errorf("State = %d, want Sending", e.State)
	}
	r.Acknowledge("id")
	if e.State != room.Arrived {
		t.Errorf("after the acknowledgement State = %d, want Arrived", e.State)
	}
	r.Receive(msg(3, "bob", "three")) // on its way before ours
	want(t, r, "one", "three", "mine")
	r.Receive(own(2, "id", "mine"))
	want(t, r, "one", "mine", "three")
	if r.At(1) != e || !e.Mine || e.Seq != 2 {
		t.Errorf("the message is %+v, want the composed one with its seq", *r.At(1))
	}
	r.Fail("id", "too late") // of an acknowledgement that got lost
	if e.State != room.Arrived {
		t.Errorf("State = %d, want Arrived", e.State)
	}
}

func TestRetryAndTakeBack(t *testing.T) {
	r := room.New("main", "ann")
	r.Compose("a", "first", noon)
	r.Compose("b", "second", noon)
	r.Compose("c", "third", noon)
	r.Fail("a", "why")
	r.Fail("b", "why")
	if sending, failed := r.Unsent(); sending != 1 || failed != 2 {
		t.Errorf("Unsent = %d, %d, want 1, 2", sending, failed)
	}
	again := r.Retry()
	if len(again) != 2 || again[0].ClientID != "a" || again[1].ClientID != "b" || again[0].State != room.Sending {
		t.Fatalf("Retry = %v", again)
	}
	r.Fail("b", "again")
	if e := r.TakeBack(); e == nil || e.Body != "second" {
		t.Fatalf("TakeBack = %v, want second", e)
	}
	if e := r.TakeBack(); e != nil {
		t.Fatalf("TakeBack = %v, want nil", *e)
	}
	want(t, r, "first", "third")
}

func TestPast(t *testing.T) {
	r := room.New("main", "ann")
	r.Receive(msg(30, "bob", "30"))
	r.Tell(room.Notice, "notice", noon)
	if n := r.Past([]room.Message{msg(10, "bob", "10"), msg(20, "bob", "20"), msg(30, "bob", "30")}, true); n != 2 {
		t.Errorf("Past = %d, want 2", n)
	}
	want(t, r, "10", "20", "30", "notice")
	if !r.Older || r.Oldest() != 10 {
		t.Errorf("Older = %v, Oldest = %d, want true, 10", r.Older, r.Oldest())
	}
	if n := r.Past(nil, false); n != 0 || r.Older {
		t.Errorf("after the last page Past = %d, Older = %v, want 0, false", n, r.Older)
	}
}

// TestRestart: the sequences of another store begin anew, and what is fetched
// from it stands below what the old one had.
func TestRestart(t *testing.T) {
	r := room.New("main", "ann")
	r.Receive(msg(100, "bob", "old"))
	r.Tell(room.Gap, "gap", noon)
	r.Restart()
	r.Receive(msg(5, "bob", "five"))
	r.Past([]room.Message{msg(3, "bob", "three"), msg(4, "bob", "four")}, false)
	want(t, r, "old", "gap", "three", "four", "five")
	if r.Receive(msg(100, "bob", "hundred")) == nil {
		t.Error("a sequence of the new store counts as one of the old")
	}
}

func TestNoticeKeepsItsPlace(t *testing.T) {
	r := room.New("main", "ann")
	r.Receive(msg(1, "bob", "one"))
	r.Tell(room.Gap, "gap", noon)
	r.Receive(msg(9, "bob", "nine"))
	r.Receive(msg(5, "bob", "five"))
	want(t, r, "one", "gap", "five", "nine")
}

func TestTrim(t *testing.T) {
	r := room.New("main", "ann")
	for i := range uint64(10) {
		r.Receive(msg(i+1, "bob", string(rune('a'+i))))
	}
	r.Trim(3)
	want(t, r, "h", "i", "j")
	if !r.Older || r.Oldest() != 8 {
		t.Errorf("Older = %v, Oldest = %d, want true, 8", r.Older, r.Oldest())
	}
	r.Past([]room.Message{msg(6, "bob", "f"), msg(7, "bob", "g")}, true)
	want(t, r, "f", "g", "h", "i", "j")
}

func TestTyping(t *testing.T) {
	r := room.New("main", "ann")
	p := &r.People
	p.Typing("bob", noon.Add(6*time.Second))
	p.Typing("cy", noon.Add(3*time.Second))
	names, next := p.WhoTypes(noon)
	if !slices.Equal(names, []string{"bob", "cy"}) || !next.Equal(noon.Add(3*time.Second)) {
		t.Errorf("WhoTypes = %q, %v", names, next)
	}
	if names, _ = p.WhoTypes(noon.Add(4 * time.Second)); !slices.Equal(names, []string{"bob"}) {
		t.Errorf("four seconds later WhoTypes = %q, want bob", names)
	}
	r.Receive(msg(1, "bob", "done"))
	if names, _ = p.WhoTypes(noon); len(names) > 0 {
		t.Errorf("after the message WhoTypes = %q, want nobody", names)
	}
}

func TestPeople(t *testing.T) {
	var p room.People
	p.Set([]string{"Zoe", "ann", "Bob"}, nil)
	if want := []string{"ann", "Bob", "Zoe"}; !slices.Equal(p.Here, want) || p.Number != 3 {
		t.Errorf("Here = %q, Number = %d, want %q", p.Here, p.Number, want)
	}
	p.Count(1234)
	if len(p.Here) != 0 || p.Number != 1234 || !p.Known {
		t.Errorf("after Count: %+v", p)
	}
}

// Everybody sees what a message was called by its sender; whoever calls his own
// the same says it as himself.
func TestBorrowedID(t *testing.T) {
	r := room.New("main", "ann")
	r.Compose("id", "mine", noon)
	r.Receive(own(1, "id", "mine"))
	m := msg(2, "mallory", "yours?")
	m.ClientID = "id"
	if e := r.Receive(m); e == nil || e.Mine {
		t.Errorf("got %+v, want a message of mallory's", e)
	}
}
