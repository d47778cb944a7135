package screen_test

import (
	"flag"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// scenes are what a user may see, each at several sizes. A golden file is the
// screen as it stands in a terminal; those with colours have its escape
// sequences.
var scenes = []struct {
	name string
	play func(*window)
}{
	{"conversation", conversation},
	{"offline", func(w *window) {
		conversation(w)
		w.tell(talk.Link{Err: fmt.Errorf("lost"), Next: noon.Add(3500 * time.Millisecond)})
		w.keys("still here?", "<enter>", "a draft")
	}},
	{"scrolled", func(w *window) {
		w.tell(talk.Joined{Room: "main", Keeps: true})
		w.here("ann", "bob")
		for i := range 60 {
			w.says("bob", fmt.Sprintf("line %d", i+1))
		}
		w.keys("<pgup>", "<pgup>")
		w.says("bob", "unseen")
		w.says("bob", "unseen as well, ann")
	}},
	{"failed", func(w *window) {
		conversation(w)
		w.keys("this one will not do", "<enter>")
		w.tell(talk.NotSent{Room: "main", ClientID: w.wire.said[0], Reason: "body is longer than 16384 bytes"})
	}},
	{"rooms", func(w *window) {
		conversation(w)
		w.keys("/join dev", "<enter>", "/join ops", "<enter>")
		w.tell(talk.Joined{Room: "dev", Keeps: true})
		w.tell(talk.Joined{Room: "ops"})
		w.tell(talk.Counted{Room: "ops", Number: 1234})
		w.tell(talk.Said{Room: "dev", Message: room.Message{Seq: 1, From: "bob", Body: "ann, look", At: noon}})
		w.tell(talk.Said{Room: "dev", Message: room.Message{Seq: 2, From: "bob", Body: "here", At: noon}})
	}},
	{"help", func(w *window) {
		conversation(w)
		w.keys("<f1>")
	}},
}

func conversation(w *window) {
	w.tell(talk.Joined{Room: "main", Keeps: true, Past: []room.Message{
		{Seq: 1, From: "bob", Body: "see you tomorrow", At: noon.Add(-14 * time.Hour)},
		{Seq: 2, From: "carla_the_long_named", Body: "Good morning! This is a line that is so long that it has to be wrapped in any window that is not very wide.", At: noon.Add(-2 * time.Hour)},
		{Seq: 3, From: "ann", Body: "hi", At: noon.Add(-time.Hour)},
		{Seq: 4, From: "dora", Body: "日本語 and 👍🏽 and\n\n\tan indented third line", At: noon.Add(-time.Hour)},
		{Seq: 5, From: "bob", Body: "/me waves at ann", At: noon.Add(-time.Minute)},
		{Seq: 6, From: "mallory", Body: "\x1b[2J\x1b[31mhacked\r12:00 ann: I resign", At: noon},
	}})
	w.seq = 6
	w.here("ann", "bob", "carla_the_long_named", "dora", "mallory\x1b[2J")
	w.tell(talk.Typing{Room: "main", User: "bob", Until: noon.Add(6 * time.Second)})
}

func TestGoldenScreens(t *testing.T) {
	for _, scene := range scenes {
		for _, size := range [][2]int{{80, 24}, {120, 40}, {40, 12}} {
			name := fmt.Sprintf("%s-%dx%d", scene.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				w := open(t, size[0], size[1])
				scene.play(w)
				golden(t, name, w.shown())
				fits(t, w, size[0], size[1])
			})
		}
	}
}

// TestGoldenColours has the escape sequences as well, on a dark and on a light
// background.
func TestGoldenColours(t *testing.T) {
	for name, background := range map[string]color.Color{"dark": color.Black, "light": color.White} {
		t.Run(name, func(t *testing.T) {
			w := open(t, 80, 24)
			w.tell(tea.BackgroundColorMsg{Color: background})
			conversation(w)
			golden(t, "colours-"+name, w.View().Content)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	got += "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was (go test ./cmd/chat/screen -update writes it anew):\n%s\nwant\n%s", file, got, want)
	}
}

// fits reports rows that are wider or more than the window has.
func fits(t *testing.T, w *window, width, height int) {
	t.Helper()
	rows := strings.Split(w.View().Content, "\n")
	if len(rows) > height {
		t.Errorf("%d rows in a window of %d", len(rows), height)
	}
	for _, row := range rows {
		if n := measure(row); n > width {
			t.Errorf("a row of %d columns in a window of %d: %q", n, width, row)
		}
	}
}
