package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// replaced stands for what has no picture of its own.
const replaced = '\uFFFD'

// Body is a message's text without anything that a terminal would obey. Lines
// stay lines; a tab becomes four spaces; a control character its picture (U+241B
// for escape), and one that turns the writing direction U+FFFD. What is
// invisible disappears, except where it joins letters or emoji.
func Body(s string) string { return clean(s, false) }

// Name is a name, or anything else that must stay on one line and must not pass
// for another: what Body takes out silently is made visible here, and so are
// spaces that nobody would see.
func Name(s string) string {
	s = clean(s, true)
	if s == "" {
		return "␣"
	}
	if strings.HasPrefix(s, " ") {
		s = "␣" + s[1:]
	}
	if strings.HasSuffix(s, " ") {
		s = s[:len(s)-1] + "␣"
	}
	return s
}

// Sender is a Name in front of what somebody says. One that could pass for
// somebody else's with the beginning of his words, such as "ann: hi", or for the
// client itself, stands in quotes.
func Sender(s string) string {
	s = Name(s)
	if !strings.ContainsFunc(s, endsName) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// endsName reports what stands behind a name, what begins a line of the
// client's own, and what looks like either.
func endsName(r rune) bool {
	switch r {
	case '─', '━', '—', '―':
		return true
	case ':', '›', '"', '\u02D0', '\u02F8', '\u0589', '\u05C3', '\u1361', '\u1804', '\u205A', '\u2236', '\uA789', '\uFE13', '\uFE55', '\uFF1A':
		return true
	}
	return false
}

// maxMarks bounds the accents on one letter: piles of them paint the lines above.
const maxMarks = 4

func clean(s string, name bool) string {
	if isPlain(s) {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	b.Grow(len(s))
	prev, marks := rune('\n'), 0 // what was written last
	for i, r := range s {
		next := replace(r, prev, follower(s, i, r), name)
		switch {
		case next == drop:
			continue
		case next == '\t':
			b.WriteString("    ")
			prev, marks = ' ', 0
			continue
		case unicode.In(next, unicode.Mn, unicode.Me):
			if marks++; marks > maxMarks {
				continue
			}
			if prev == '\n' || prev == ' ' {
				b.WriteRune('◌') // it would sit on what stands there already
			}
		default:
			marks = 0
		}
		b.WriteRune(next)
		prev = next
	}
	return b.String()
}

// isPlain reports printable ASCII and newlines, as most of what is said. A
// newline in a name is not, nor is a tab.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// follower is the rune after r, which stands at s[i:], or a space.
func follower(s string, i int, r rune) rune {
	n := 1
	if r != utf8.RuneError || strings.HasPrefix(s[i:], "\uFFFD") {
		n = utf8.RuneLen(r)
	}
	if i+n >= len(s) {
		return ' '
	}
	next, _ := utf8.DecodeRuneInString(s[i+n:])
	return next
}

// drop is what replace returns for nothing. No string decodes to it.
const drop rune = -1

// replace is what may be shown for r, between prev and next.
func replace(r, prev, next rune, name bool) rune {
	switch {
	case r == '\n' && !name, r == '\t' && !name:
		return r
	case r < 0x20:
		return '\u2400' + r
	case r == 0x7f:
		return '\u2421'
	case r < 0x7f:
		return r
	case r < 0xa0: // C1: U+009B begins a sequence as ESC [ does
		return replaced
	case r == '\u2028', r == '\u2029': // other line breaks
		if name {
			return '\u240A'
		}
		return '\n'
	case r == '\u200E', r == '\u200F', r == '\u061C': // marks that keyboards of such scripts write by themselves
		return hidden(name)
	case unicode.Is(unicode.Bidi_Control, r): // changes the direction of what follows (Unicode Standard Annex 9)
		return replaced
	case r == zwj, r == zwnj:
		if joins(prev) && joins(next) {
			return r
		}
		return hidden(name)
	case unicode.Is(unicode.Variation_Selector, r):
		if r <= '\uFE0F' && (isSymbol(prev) || '0' <= prev && prev <= '9' || prev == '#' || prev == '*') {
			return r // a symbol as an emoji, or as text
		}
		return hidden(name)
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // takes in what follows
		return replaced
	case invisible(r):
		return hidden(name)
	case name && (unicode.Is(unicode.Zs, r) || r == '\u2800'):
		return '␣'
	}
	return r
}

const (
	zwj  = '\u200D'
	zwnj = '\u200C'
)

func hidden(name bool) rune {
	if name {
		return replaced
	}
	return drop
}

// invisible reports characters without a picture, and those that look like a
// space and are none.
func invisible(r rune) bool {
	switch r {
	case '\u00AD', '\u115F', '\u1160', '\u17B4', '\u17B5', '\u3164', '\uFFA0':
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
}

// joins reports what a joiner has an effect on: emoji, and letters of the
// scripts that are written joined.
func joins(r rune) bool {
	if isSymbol(r) || unicode.Is(unicode.Variation_Selector, r) {
		return true
	}
	return r >= 0x600 && r < 0x1100 && unicode.In(r, unicode.L, unicode.M)
}

// isSymbol reports emoji and their like, the tones of skin included.
func isSymbol(r rune) bool { return r > 0x7f && unicode.In(r, unicode.So, unicode.Sk, unicode.Sm) }
