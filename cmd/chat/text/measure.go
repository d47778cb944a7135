package text

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A Measure counts the columns that text takes in a terminal. The zero value
// is that of a terminal that adds up the widths of characters, as most do.
type Measure struct {
	// Graphemes says that the terminal joins clusters, such as a family of
	// emoji, into one picture of two columns (its mode 2027 is on).
	Graphemes bool
}

func (m Measure) method() ansi.Method {
	if m.Graphemes {
		return ansi.GraphemeWidth
	}
	return ansi.WcWidth
}

// Width is the number of columns of the longest line of s.
func (m Measure) Width(s string) int {
	widest := 0
	for line := range strings.SplitSeq(s, "\n") {
		widest = max(widest, m.method().StringWidth(line))
	}
	return widest
}

// Truncate cuts a line to at most width columns; what was cut ends in "…".
func (m Measure) Truncate(s string, width int) string {
	if width <= 0 {
		return ""
	}
	if s = m.settle(s); m.method().StringWidth(s) <= width {
		return s
	}
	cut := m.method().Truncate(s, width, "…")
	if m.method().StringWidth(cut) > width { // the library counts letters that join otherwise there
		cut = m.method().Truncate(s, width-1, "")
	}
	return cut
}

// PadRight makes a line exactly width columns wide.
func (m Measure) PadRight(s string, width int) string {
	s = m.Truncate(s, width)
	for n := width - m.method().StringWidth(s); n > 0; n = width - m.method().StringWidth(s) {
		s += strings.Repeat(" ", n) // of which some scripts join the first with what it follows
	}
	return s
}

// PadLeft does the same with the space in front.
func (m Measure) PadLeft(s string, width int) string {
	s = m.Truncate(s, width)
	return strings.Repeat(" ", max(0, width-m.method().StringWidth(s))) + s
}

// Wrap breaks s into lines of at most width columns, between words where it
// can. A character wider than width is left out.
func (m Measure) Wrap(s string, width int) []string {
	if width <= 0 {
		return nil
	}
	var lines []string
	for line := range strings.SplitSeq(m.settle(s), "\n") {
		lines = append(lines, m.wrapLine(line, width)...)
	}
	return lines
}

// wrapLine is greedy: a line takes what fits, up to the last space if there is
// one. Spaces at a break disappear, those at the beginning are indentation.
func (m Measure) wrapLine(line string, width int) (lines []string) {
	start, used := 0, 0           // of the line that is being filled
	space, afterSpace := -1, 0    // where its last gap begins and ends …
	usedAfter, inSpace := 0, true // … the columns behind it; whether it goes on
	for i := 0; i < len(line); {
		cluster, w := ansi.FirstGraphemeCluster(line[i:], m.method())
		n := len(cluster)
		if cluster == " " {
			if !inSpace {
				space = i
			}
			inSpace, usedAfter = true, 0
			afterSpace = i + n
		} else {
			if inSpace && space < start {
				space = -1 // indentation is no gap
			}
			inSpace = false
			if used+w > width {
				if space > start {
					lines = append(lines, line[start:space])
					start, used = afterSpace, usedAfter
				} else if i > start {
					lines = append(lines, m.method().Truncate(line[start:i], width, "")) // indentation may be wider
					start, used = i, 0
				}
				space = -1
			}
			if used+w > width && i == start { // wider than the window
				i += n
				start, used = i, 0
				continue
			}
			usedAfter += w
		}
		used += w
		i += n
	}
	return append(lines, m.method().Truncate(strings.TrimRight(line[start:], " "), width, ""))
}

// settle rewrites what terminals without clusters disagree about: a joined
// emoji becomes those that it is made of.
func (m Measure) settle(s string) string {
	if m.Graphemes || !strings.ContainsRune(s, zwj) {
		return s
	}
	var b strings.Builder
	prev := ' '
	for _, r := range s {
		if r != zwj || !isSymbol(prev) && prev != '\uFE0F' {
			b.WriteRune(r)
		}
		prev = r
	}
	return b.String()
}
