package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/aristochat/aristochat/edge/fleet"
)

// A column of the table.
type column struct {
	title string
	width int // at most, on a screen
	left  bool
	// narrow says how soon it is left out where there is no room for it: the
	// greatest first, 0 never.
	narrow int
	text   func(e *fleet.Edge, now time.Time) string
}

var columns = []column{
	{"EDGE", 28, true, 0, func(e *fleet.Edge, _ time.Time) string { return name(e) }},
	{"VERSION", 14, true, 5, func(e *fleet.Edge, _ time.Time) string { return e.Version }},
	{"UP", 6, false, 3, func(e *fleet.Edge, now time.Time) string { return span(now.Sub(e.Started)) }},
	{"SOCKETS", 9, false, 0, func(e *fleet.Edge, _ time.Time) string { return count(e.Sockets) }},
	{"FULL", 5, false, 4, full},
	{"CHANNELS", 9, false, 2, func(e *fleet.Edge, _ time.Time) string { return count(e.Channels) }},
	{"ROOMS", 8, false, 1, func(e *fleet.Edge, _ time.Time) string { return count(e.Rooms) }},
	{"IN/s", 8, false, 0, func(e *fleet.Edge, _ time.Time) string { return rate(e.MessagesIn) }},
	{"OUT/s", 9, false, 0, func(e *fleet.Edge, _ time.Time) string { return rate(e.MessagesOut) }},
	{"STATE", 14, true, 0, state},
}

// silence is how long nothing may be heard of an edge before that is said.
const silence = 3500 * time.Millisecond

func state(e *fleet.Edge, now time.Time) string {
	switch silent := now.Sub(e.Heard); {
	case silent > silence:
		return "silent " + span(silent)
	case e.Draining:
		return "draining"
	case e.Waiting > 0:
		return count(e.Waiting) + " waiting"
	case e.MaxSockets > 0 && e.Sockets >= e.MaxSockets:
		return "full"
	}
	return "ok"
}

func full(e *fleet.Edge, _ time.Time) string {
	if e.MaxSockets == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", 100*min(e.Sockets, e.MaxSockets)/e.MaxSockets)
}

func name(e *fleet.Edge) string {
	if e.Name == "" {
		return e.ID
	}
	return e.Name
}

// rows are the texts of the table. Edges of one name are told apart by their id.
func rows(edges []fleet.Edge, now time.Time, cols []column) [][]string {
	names := map[string]int{}
	for i := range edges {
		names[name(&edges[i])]++
	}
	all := make([][]string, len(edges))
	for i := range edges {
		e := &edges[i]
		for _, c := range cols {
			text := c.text(e, now)
			if c.title == "EDGE" && names[text] > 1 {
				text += "/" + ansi.Truncate(e.ID, 4, "")
			}
			all[i] = append(all[i], text)
		}
	}
	return all
}

// fit leaves out columns until the rest has room, then shortens names, and
// returns how wide each column may be.
func fit(width int, texts func([]column) [][]string) ([]column, []int) {
	cols := columns
	for {
		widths, total := widthsOf(cols, texts(cols), true), 0
		for _, w := range widths {
			total += w + gap
		}
		worst := 0
		for i := range cols {
			if cols[i].narrow > cols[worst].narrow {
				worst = i
			}
		}
		if total <= width || cols[worst].narrow == 0 {
			widths[0] = max(min(widths[0], leastName), widths[0]-max(0, total-width))
			return cols, widths
		}
		cols = append(append([]column{}, cols[:worst]...), cols[worst+1:]...)
	}
}

const (
	gap       = 2  // between columns
	leastName = 10 // of what tells edges apart
)

func widthsOf(cols []column, texts [][]string, bounded bool) []int {
	widths := make([]int, len(cols))
	for i, c := range cols {
		widths[i] = lipgloss.Width(c.title)
		for _, row := range texts {
			w := lipgloss.Width(row[i])
			if bounded {
				w = min(w, c.width)
			}
			widths[i] = max(widths[i], w)
		}
	}
	return widths
}

// padded puts a text at its side of a column.
func padded(c column, text string, width int) string {
	space := strings.Repeat(" ", max(0, width-lipgloss.Width(text)))
	if c.left {
		return text + space
	}
	return space + text
}

// plain is the table as text, with a line of totals.
func plain(s Snapshot) string {
	texts := rows(s.Edges, s.At, columns)
	widths := widthsOf(columns, texts, false)
	var b strings.Builder
	line := func(text func(i int) string) {
		var l strings.Builder
		for i, c := range columns {
			l.WriteString(padded(c, text(i), widths[i]))
			l.WriteString(strings.Repeat(" ", gap))
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(func(i int) string { return columns[i].title })
	for _, row := range texts {
		line(func(i int) string { return row[i] })
	}
	b.WriteString(summary(s) + "\n")
	return b.String()
}

// summary is the cluster in a line.
func summary(s Snapshot) string {
	t := sum(s.Edges)
	parts := []string{
		plural(int64(len(s.Edges)), "edge"), plural(t.sockets, "socket"), plural(t.channels, "channel"),
		rate(t.in) + " in/s", rate(t.out) + " out/s",
	}
	if t.waiting > 0 {
		parts = append(parts, count(t.waiting)+" waiting")
	}
	if t.draining > 0 {
		parts = append(parts, fmt.Sprintf("%d draining", t.draining))
	}
	return strings.Join(parts, "  ")
}

func plural(n int64, word string) string {
	if n != 1 {
		word += "s"
	}
	return count(n) + " " + word
}

// count writes a number for people: 12,345, and from ten million on 12.3M.
func count(n int64) string {
	if n >= 10_000_000 {
		return short(float64(n))
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rate writes a number of things a second.
func rate(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 9.95:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case f < 999_999.5:
		return count(int64(math.Round(f)))
	}
	return short(f)
}

func short(f float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		if f < 999.95 {
			return strconv.FormatFloat(f, 'f', 1, 64) + unit
		}
		f /= 1000
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + "T"
}

// span writes a time in its largest unit that fits.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d < 10_000*24*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return "?"
}
