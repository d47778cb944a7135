package top

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/aristochat/aristochat/edge/fleet"
)

var update = flag.Bool("update", false, "write what is shown into testdata")

var now = time.Date(2026, 11, 22, 16, 7, 25, 0, time.UTC)

// cluster has an edge of each kind.
func cluster() []fleet.Edge {
	edge := func(name, id string, heard time.Duration, s fleet.Status) fleet.Edge {
		s.Name, s.ID, s.Version, s.AdmitRate = name, id, "v0.6.0", 400
		return fleet.Edge{Status: s, Heard: now.Add(-heard)}
	}
	return []fleet.Edge{
		edge("edge-5c9-2xkpq", "AAAA1", time.Second, fleet.Status{Started: now.Add(-3 * time.Hour), Sockets: 12_345, Channels: 23_456, Rooms: 789, MaxSockets: 20_000, MessagesIn: 120.4, MessagesOut: 45_678}),
		edge("edge-5c9-7hjzw", "BBBB1", time.Second, fleet.Status{Started: now.Add(-90 * time.Second), Sockets: 20_000, Channels: 20_001, Rooms: 7, MaxSockets: 20_000, MessagesIn: 1.25, MessagesOut: 12_345_678}),
		edge("edge-5c9-dup", "CCCC1", 0, fleet.Status{Started: now.Add(-70 * time.Hour), Draining: true, Sockets: 17, Channels: 17, Rooms: 1, MessagesOut: 0.04}),
		edge("edge-5c9-dup", "DDDD1", 0, fleet.Status{Started: now, Waiting: 33}),
		edge("", "EEEE1", 6*time.Second, fleet.Status{Started: now.Add(time.Hour)}), // its clock is ahead
		edge("ein sehr langer Name für einen Rechner", "FFFF1", 0, fleet.Status{Started: now}),
		edge("端末サーバー", "GGGG1", 0, fleet.Status{Started: now}), // twice as wide
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	got = ansi.Strip(got)
	var b strings.Builder
	for line := range strings.Lines(got) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	got = b.String()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("shown is\n%s\nwant (or -update)\n%s", got, want)
	}
}

func TestPlain(t *testing.T) {
	golden(t, "plain.txt", plain(Snapshot{At: now, Edges: cluster()}))
}

// screen is a model that has taken snapshots.
func screen(width, height int, s ...Snapshot) *model {
	m := newModel(nil, "nats://nats:4222 (nats-0)")
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	for _, s := range s {
		m.Update(tick(s))
	}
	return m
}

func press(m *model, keys ...string) tea.Cmd {
	var cmd tea.Cmd
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
		if k == "down" {
			msg = tea.KeyPressMsg{Code: tea.KeyDown}
		}
		_, cmd = m.Update(msg)
	}
	return cmd
}

func TestScreen(t *testing.T) {
	busy := Snapshot{At: now, Edges: cluster()}
	calm := Snapshot{At: now.Add(-time.Second), Edges: cluster()[:1]}
	tests := []struct {
		file   string
		screen *model
		keys   []string
	}{
		{"wide.txt", screen(120, 20, calm, calm, busy), nil},
		{"narrow.txt", screen(64, 16, calm, busy), nil},
		{"tiny.txt", screen(20, 6, busy), nil},
		{"sorted.txt", screen(120, 20, calm, busy), []string{"s", "down", "down"}},
		{"lost.txt", screen(80, 16, calm, Snapshot{At: now, Edges: cluster()[:1], Lost: errors.New("connection to NATS lost at 16:07:20Z:\nno server answers")}), nil},
		{"listening.txt", screen(80, 12, Snapshot{At: now}), nil},
		{"nobody.txt", screen(80, 12, Snapshot{At: now}, Snapshot{At: now}, Snapshot{At: now}, Snapshot{At: now}), nil},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			press(tt.screen, tt.keys...)
			view := tt.screen.View()
			if !view.AltScreen {
				t.Error("it writes over what the terminal had")
			}
			for line := range strings.Lines(view.Content) {
				if w := ansi.StringWidth(strings.TrimSuffix(line, "\n")); w > tt.screen.width {
					t.Errorf("line is %d wide, more than %d: %q", w, tt.screen.width, line)
				}
			}
			golden(t, tt.file, view.Content)
		})
	}
}

func TestSelection(t *testing.T) {
	m := screen(120, 20, Snapshot{At: now, Edges: cluster()})
	press(m, "down")
	if got := m.selected().ID; got != "BBBB1" {
		t.Errorf("down selects %s, want BBBB1", got)
	}
	press(m, "s")
	if got := m.selected().ID; got != "BBBB1" || m.edges[0].ID != "BBBB1" {
		t.Errorf("sorted by sockets %s is selected and %s first, want BBBB1 both times", got, m.edges[0].ID)
	}
	m.Update(tick(Snapshot{At: now, Edges: cluster()[:1]}))
	if got := m.selected().ID; got != "AAAA1" {
		t.Errorf("the selected edge is gone: now it is %s, want AAAA1", got)
	}
	m.Update(tick(Snapshot{At: now}))
	if got := m.selected().ID; got != "" {
		t.Errorf("nobody is there: %s is selected", got)
	}
	if cmd := press(m, "q"); cmd == nil {
		t.Error("q does not quit")
	} else if _, ok := cmd().(tea.QuitMsg); !ok {
		t.Error("q does not quit")
	}
}

func TestMoreEdgesThanLines(t *testing.T) {
	edges := make([]fleet.Edge, 300)
	for i := range edges {
		edges[i] = fleet.Edge{Status: fleet.Status{ID: "id" + count(int64(i)), Name: "edge-" + count(int64(i)), Started: now}, Heard: now}
	}
	m := screen(100, 20, Snapshot{At: now, Edges: edges})
	for range 299 {
		press(m, "down")
	}
	if n := strings.Count(m.content(), "\n") + 1; n > 20 {
		t.Errorf("%d lines, more than the screen has", n)
	}
	if s := ansi.Strip(m.content()); !strings.Contains(s, "edge-299  ") || strings.Contains(s, "edge-0 ") {
		t.Errorf("scrolled to the end it shows\n%s", s)
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 9_999_999: "9,999,999", 12_345_678: "12.3M", 1e12: "1.0T"} {
		if got := count(in); got != want {
			t.Errorf("count(%d) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[float64]string{0: "0", 0.04: "0.0", 9.94: "9.9", 9.96: "10", 1234.5: "1,235", 999_999: "999,999", 1e6: "1.0M", 1e12: "1.0T", 1e15: "1000.0T"} {
		if got := rate(in); got != want {
			t.Errorf("rate(%g) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{-time.Hour: "0s", 59 * time.Second: "59s", time.Hour: "1h00m", 47*time.Hour + 59*time.Minute: "47h59m", 49 * time.Hour: "2d", 1 << 62: "?"} {
		if got := span(in); got != want {
			t.Errorf("span(%v) = %s, want %s", in, got, want)
		}
	}
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		full := func() Snapshot { return Snapshot{At: now, Edges: cluster()} }
		if err := Once(t.Context(), full, true, &out); err != nil {
			t.Fatal(err)
		}
		var lines int
		for line := range strings.Lines(out.String()) {
			var e fleet.Edge
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID == "" || e.Heard.IsZero() {
				t.Errorf("line %s: %+v, %v", line, e, err)
			}
			lines++
		}
		if lines != len(cluster()) {
			t.Errorf("%d lines for %d edges", lines, len(cluster()))
		}
		if err := Once(t.Context(), func() Snapshot { return Snapshot{At: now} }, false, &out); err == nil || !strings.Contains(err.Error(), "--subject-prefix") {
			t.Errorf("without edges: %v, want to be told why", err)
		}
		lost := errors.New("lost")
		if err := Once(t.Context(), func() Snapshot { return Snapshot{At: now, Lost: lost} }, false, &out); !errors.Is(err, lost) {
			t.Errorf("without NATS: %v, want %v", err, lost)
		}
	})
}

// A terminal gets a frame, and is given back at the end.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := terminal{shown: make(chan struct{}), want: "edge-5c9-2xkpq"}
	source := func() Snapshot { return Snapshot{At: now, Edges: cluster()} }
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, source, "here", tea.WithInput(nil), tea.WithOutput(&out), tea.WithWindowSize(100, 20), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	}()
	select {
	case <-out.shown:
	case err := <-done:
		t.Fatalf("it ends with %v and has shown %q", err, out.b.String())
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := out.b.String()
	if on, off := strings.Index(s, ansi.SetModeAltScreenSaveCursor), strings.LastIndex(s, ansi.ResetModeAltScreenSaveCursor); on < 0 || off < on {
		t.Errorf("the alternate screen is entered at %d and left at %d", on, off)
	}
}

// A terminal keeps what a program has written, and tells when it shows what is wanted.
type terminal struct {
	b     bytes.Buffer
	want  string
	shown chan struct{}
}

func (t *terminal) Write(p []byte) (int, error) {
	n, err := t.b.Write(p)
	if t.want != "" && bytes.Contains(t.b.Bytes(), []byte(t.want)) {
		t.want = ""
		close(t.shown)
	}
	return n, err
}
