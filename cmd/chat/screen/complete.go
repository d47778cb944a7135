package screen

import (
	"slices"
	"strings"
	"unicode"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// A completion is what Tab has put in, and what it puts in its place next.
type completion struct {
	words []string
	at    int
	last  string // what stands there now
}

// complete completes the word before the cursor, or goes on to the next of
// several.
func (m *Model) complete(back bool) {
	c := m.input.completion
	if c == nil {
		line := m.input.beforeCursor()
		word, words := m.candidates(line)
		if len(words) == 0 {
			m.flash = "There is nothing that begins so"
			return
		}
		c = &completion{words: words, at: -1, last: word}
		if back {
			c.at = 0
		}
	}
	step := 1
	if back {
		step = len(c.words) - 1
	}
	c.at = (c.at + step + len(c.words)) % len(c.words)
	m.input.replaceBefore(c.last, c.words[c.at])
	c.last = c.words[c.at]
	m.input.completion = c
}

// candidates are the word that a line ends with, and what it may become.
func (m *Model) candidates(line string) (word string, words []string) {
	first := m.input.area.Line() == 0
	if name, args, ok := strings.Cut(line, " "); first && strings.HasPrefix(line, "/") {
		switch {
		case !ok:
			return name, matching(name, commandNames(), " ")
		case name == "/join" || name == "/leave":
			return args, matching(args, m.roomNames(), "")
		}
	}
	begin := strings.LastIndexFunc(line, unicode.IsSpace) + 1
	word = line[begin:]
	behind := " "
	if begin == 0 && first {
		behind = ": "
	}
	if at, ok := strings.CutPrefix(word, "@"); ok && at != "" {
		words = matching(at, m.names(), " ")
		for i := range words {
			words[i] = "@" + words[i]
		}
		return word, words
	}
	return word, matching(word, m.names(), behind)
}

// matching are the words that begin with a prefix, whatever the case.
func matching(prefix string, words []string, behind string) (found []string) {
	for _, w := range words {
		if len(w) >= len(prefix) && strings.EqualFold(w[:len(prefix)], prefix) {
			found = append(found, w+behind)
		}
	}
	return found
}

func commandNames() (names []string) {
	for _, c := range commands {
		names = append(names, "/"+c.name)
	}
	return names
}

func (m *Model) roomNames() (names []string) {
	for _, t := range m.tabs {
		names = append(names, t.Name)
	}
	return names
}

// recentEntries is how far back somebody counts as taking part.
const recentEntries = 200

// names are those one might want to write: who spoke last comes first.
func (m *Model) names() (names []string) {
	t := m.tab()
	add := func(name string) {
		typed := text.Name(name) == name // another would paint what the user types
		if typed && name != m.opts.User && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := t.Len() - 1; i >= max(0, t.Len()-recentEntries); i-- {
		if e := t.At(i); e.Kind == room.Said {
			add(e.From)
		}
	}
	for _, name := range t.People.Here {
		add(name)
	}
	return names
}
