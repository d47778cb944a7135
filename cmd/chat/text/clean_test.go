package text_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/aristochat/aristochat/cmd/chat/text"
)

func TestClean(t *testing.T) {
	tests := []struct{ about, in, body, name string }{
		{"plain", "hello", "hello", "hello"},
		{"empty", "", "", "␣"},
		{"lines", "a\nb\r\nc", "a\nb\nc", "a␊b␊c"},
		{"carriage return", "good\rbad", "good␍bad", "good␍bad"},
		{"tab", "a\tb", "a    b", "a␉b"},
		{"colour", "\x1b[31mred", "␛[31mred", "␛[31mred"},
		{"title", "\x1b]0;root\x07", "␛]0;root␇", "␛]0;root␇"},
		{"C1 CSI", "\u009b31m", "�31m", "�31m"},
		{"delete", "a\x7f", "a␡", "a␡"},
		{"not UTF-8", "a\xffb", "a�b", "a�b"},
		{"bare C1 byte", "\x9b31m", "�31m", "�31m"},
		{"override", "user\u202egnp.exe", "user�gnp.exe", "user�gnp.exe"},
		{"isolate", "\u2066x\u2069", "�x�", "�x�"},
		{"right-to-left mark", "שלום\u200f!", "שלום!", "שלום�!"},
		{"zero width", "an\u200bn", "ann", "an�n"},
		{"joiner in Latin", "an\u200dn", "ann", "an�n"},
		{"joiner at the end", "👨\u200d", "👨", "👨�"},
		{"family", "👨‍👩‍👧", "👨‍👩‍👧", "👨‍👩‍👧"},
		{"heart", "❤️", "❤️", "❤️"},
		{"rainbow", "🏳️‍🌈", "🏳️‍🌈", "🏳️‍🌈"},
		{"keycap", "1️⃣", "1️⃣", "1️⃣"},
		{"variation of a letter", "a\ufe0f", "a", "a�"},
		{"Persian", "علی\u200cرضا", "علی\u200cرضا", "علی\u200cرضا"},
		{"Hindi", "नमस्ते", "नमस्ते", "नमस्ते"},
		{"byte order mark", "\ufeffann", "ann", "�ann"},
		{"soft hyphen", "an\u00adn", "ann", "an�n"},
		{"Hangul filler", "\u3164", "", "�"},
		{"no-break space", "a\u00a0b", "a\u00a0b", "a␣b"},
		{"spaces around", " ann ", " ann ", "␣ann␣"},
		{"line separator", "a\u2028b", "a\nb", "a␊b"},
		{"accents", "e\u0301", "e\u0301", "e\u0301"},
		{"a pile of accents", "e\u0301\u0301\u0301\u0301\u0301\u0301", "e\u0301\u0301\u0301\u0301", "e\u0301\u0301\u0301\u0301"},
		{"an accent on nothing", "\u0301a", "◌\u0301a", "◌\u0301a"},
		{"tag characters", "a\U000e0041b", "ab", "a�b"},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			if got := text.Body(tt.in); got != tt.body {
				t.Errorf("Body(%q) = %q, want %q", tt.in, got, tt.body)
			}
			if got := text.Name(tt.in); got != tt.name {
				t.Errorf("Name(%q) = %q, want %q", tt.in, got, tt.name)
			}
		})
	}
}

// TestSender: a name is not somebody else's with his first words.
func TestSender(t *testing.T) {
	for in, want := range map[string]string{
		"ann":           "ann",
		"Ann B. (away)": "Ann B. (away)",
		"":              "␣",
		"ann: hi":       `"ann: hi"`,
		"ann∶ hi":       `"ann∶ hi"`,
		"ann› hi":       `"ann› hi"`,
		"─ the server":  `"─ the server"`,
		`"ann": hi \`:   `"\"ann\": hi \\"`,
		"ann:\n":        `"ann:␊"`,
	} {
		if got := text.Sender(in); got != want {
			t.Errorf("Sender(%q) = %s, want %s", in, got, want)
		}
	}
}

// obeyed finds the first rune in s that a terminal would obey, or -1.
func obeyed(s string) rune {
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
			return r
		}
	}
	return -1
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"\x1b[2J\x9b", "a\r\nb\tc", "👨‍👩‍👧 \u202e", "\u0301\u0301x\u200d"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		body, name := text.Body(s), text.Name(s)
		for about, got := range map[string]string{"Body": body, "Name": name} {
			if r := obeyed(got); r >= 0 {
				t.Errorf("%s(%q) = %q has %U", about, s, got, r)
			}
			if !utf8.ValidString(got) {
				t.Errorf("%s(%q) = %q is not UTF-8", about, s, got)
			}
		}
		if again := text.Body(body); again != body {
			t.Errorf("Body(%q) = %q, and again %q", s, body, again)
		}
		width = 2 + abs(width)%100
		for _, m := range []text.Measure{{}, {Graphemes: true}} {
			for _, line := range m.Wrap(body, width) {
				if w := m.Width(line); w > width {
					t.Errorf("%+v.Wrap(%q, %d) has a line of %d columns: %q", m, body, width, w, line)
				}
			}
			if w := m.Width(m.PadRight(name, width)); w != width {
				t.Errorf("%+v.PadRight(%q, %d) has %d columns", m, name, width, w)
			}
		}
	})
}

func abs(n int) int {
	if n < 0 {
		n = -(n + 1)
	}
	return n
}
