package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aristochat/aristochat/cmd/chat/testserver"
)

// A terminal is the built program in a window of tmux.
type terminal struct {
	t      *testing.T
	socket string
	pid    string // a file with the program's
}

// inTerminal starts the program in a window of a given size.
func inTerminal(t *testing.T, width, height int, env []string, args ...string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed: this test needs a terminal")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "tmux.conf")
	// Nobody is attached to the window, so it has no focus to lose.
	if err := os.WriteFile(conf, []byte("set -g default-shell /bin/sh\nset -g default-terminal tmux-256color\nset -g escape-time 0\nset -g focus-events off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &terminal{t, filepath.Join(dir, "s"), filepath.Join(dir, "pid")}
	words := []string{"sh", "-c", `'echo $$ >"$0"; exec env "$@"'`, w.pid}
	for _, s := range append(append(env, "LC_ALL=C.UTF-8", chatBinary(t)), args...) {
		words = append(words, "'"+s+"'")
	}
	w.tmux("-f", conf, "-u", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), strings.Join(words, " ")+"; echo code=$?; exec sleep 1000")
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", w.socket, "kill-server").Run() })
	return w
}

func (w *terminal) tmux(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", w.socket}, args...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// types has the user type a text.
func (w *terminal) types(s string) {
	w.t.Helper()
	w.tmux("send-keys", "-l", s)
}

// press presses keys by their names in tmux.
func (w *terminal) press(keys ...string) {
	w.t.Helper()
	w.tmux(append([]string{"send-keys"}, keys...)...)
}

func (w *terminal) screen() string {
	w.t.Helper()
	return w.tmux("capture-pane", "-p")
}

// shows waits until all of these are on the screen.
func (w *terminal) shows(words ...string) {
	w.t.Helper()
	w.await(fmt.Sprintf("%q to be shown", words), func(screen string) bool {
		for _, s := range words {
			if !strings.Contains(screen, s) {
				return false
			}
		}
		return true
	})
}

func (w *terminal) await(what string, ok func(screen string) bool) {
	w.t.Helper()
	last := ""
	for end := time.Now().Add(testserver.Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if last = w.screen(); ok(last) {
			return
		}
	}
	w.t.Fatalf("waited in vain for %s; the screen is\n%s", what, last)
}

// TestTerminal is an afternoon in two terminals.
func TestTerminal(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := inTerminal(t, 80, 24, nil, "--server", s.Addr, "--username", "ann")
	bob := inTerminal(t, 120, 30, []string{"NO_COLOR=1"}, "--server", s.Addr, "--username", "bob")
	ann.shows("[main]", "ann @ "+s.Addr, "● connected", "ann (you)", "bob")
	bob.shows("bob (you)", "ann")

	ann.types("hello bob, 日本語 👍")
	bob.await("ann to be typing", func(screen string) bool {
		if strings.Contains(screen, "ann is typing…") {
			return true
		}
		ann.press("Space", "BSpace") // nobody is taken to type for long
		return false
	})
	ann.press("Enter")
	bob.shows("ann │ hello bob, 日本語 👍")
	ann.shows("ann ┃ hello bob, 日本語 👍")
	if colours := bob.tmux("capture-pane", "-p", "-e"); strings.Contains(colours, "\x1b[38") {
		t.Errorf("there are colours in spite of NO_COLOR: %q", colours)
	}

	// A size that changes, and what is written beyond the width.
	bob.types("this message is of a length that needs two lines in eighty columns, and more in forty")
	bob.press("Enter")
	ann.shows("bob │ this message is of a length that")
	ann.tmux("resize-window", "-x", "40", "-y", "12")
	ann.await("a narrow window", func(screen string) bool {
		return strings.Contains(screen, "bob: this message is of a") && !strings.Contains(screen, "(you)")
	})
	ann.tmux("resize-window", "-x", "80", "-y", "24")
	ann.shows("ann (you)", "bob │ this message is of a length that")

	// The edge dies. What is written meanwhile waits, and what others said
	// while one was away is there when one is back.
	s.Kill()
	ann.shows("○ offline", "Ctrl+T")
	ann.types("written while it was down")
	ann.press("Enter")
	ann.shows("written while it was down ⋯")
	s.Start()
	cy := exec.Command(chatBinary(t), "--server", s.Addr, "--username", "cy", "--once")
	cy.Stdin = strings.NewReader("said while you were away\n")
	if out, err := cy.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ann.press("C-t")
	ann.shows("● connected", "cy │ said while you were away")
	ann.await("the message to be acknowledged", func(screen string) bool { return !strings.Contains(screen, "⋯") })
	bob.press("C-t")
	bob.shows("cy │ said while you were away", "ann │ written while it was down")
	for name, w := range map[string]*terminal{"ann": ann, "bob": bob} {
		for _, once := range []string{"hello bob, 日本語", "said while you", "written while it"} {
			if n := strings.Count(w.screen(), once); n != 1 {
				t.Errorf("%s sees %q %d times:\n%s", name, once, n, w.screen())
			}
		}
		if strings.Contains(w.screen(), "missing") {
			t.Errorf("%s is told that something is missing:\n%s", name, w.screen())
		}
	}

	// A paste of several lines is one message, of a megabyte none.
	paste(t, bob, "first line\nsecond line\n")
	bob.shows("› first line", "  second line")
	bob.press("Enter")
	ann.shows("bob │ first line", "│ second line")
	paste(t, bob, strings.Repeat("0123456789abcde\n", 1<<16))
	bob.shows("1.0 MiB, 65,537 lines pasted")
	bob.press("Enter")
	bob.shows("Your text is still there", "1.0 MiB, 65,537 lines pasted")
	bob.press("C-c")

	// Another room, and back.
	bob.types("/jo")
	bob.press("Tab")
	bob.types("dev")
	bob.press("Enter")
	bob.shows("[2 dev]", "● connected")
	ann.types("bob?")
	ann.press("Enter")
	bob.shows("1 main +1!")
	bob.press("M-1")
	bob.shows("[1 main]", "ann │ bob?")

	bob.types("/quit")
	bob.press("Enter")
	bob.shows("code=0")
	ann.await("bob to be gone", func(screen string) bool {
		return !strings.Contains(screen, " bob\n") && strings.Contains(screen, "1 here")
	})
}

// paste pastes into the window, with brackets around it as terminals do.
func paste(t *testing.T, w *terminal, s string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "paste")
	if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
	w.tmux("load-buffer", file)
	w.tmux("paste-buffer", "-p", "-r")
}

// TestTerminalScrollsBack: the wheel and the keys fetch what is older.
func TestTerminalScrollsBack(t *testing.T) {
	s := testserver.Start(t, nil)
	var lines strings.Builder
	for i := range 180 {
		fmt.Fprintf(&lines, "message %d\n", i+1)
	}
	bob := exec.Command(chatBinary(t), "--server", s.Addr, "--username", "bob", "--once")
	bob.Stdin = strings.NewReader(lines.String())
	if out, err := bob.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ann := inTerminal(t, 80, 24, nil, "--server", s.Addr, "--username", "ann")
	ann.shows("message 180")
	ann.await("what the wheel fetches", func(screen string) bool {
		if oldest(screen) > 40 {
			ann.press("-l", "\x1b[<64;10;10M") // SGR: the wheel goes up at column 10, row 10
			return false
		}
		return strings.Contains(screen, "↓ End: newest")
	})
	ann.press("Home")
	ann.press("Home")
	ann.await("the beginning", func(screen string) bool {
		if !strings.Contains(screen, "the beginning") {
			ann.press("Home")
			return false
		}
		return strings.Contains(screen, "message 1 ")
	})
	ann.press("End")
	ann.shows("message 180")
}

// oldest is the number of the first message on a screen. A screen without one is
// as good as new.
func oldest(screen string) int {
	m := regexp.MustCompile(`message (\d+)`).FindStringSubmatch(screen)
	if m == nil {
		return math.MaxInt
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// TestTerminalOfAnAncestor: with a server that knows chat_msg only, what it
// lacks is not there.
func TestTerminalOfAnAncestor(t *testing.T) {
	addr := testserver.Ancestor(t)
	ann := inTerminal(t, 80, 24, nil, "--server", addr, "--username", "ann")
	ann.shows("● connected")
	ann.types("anybody?")
	ann.press("Enter")
	ann.await("the message", func(screen string) bool {
		return strings.Contains(screen, "ann ┃ anybody?") && !strings.Contains(screen, "⋯")
	})
	if screen := ann.screen(); strings.Contains(screen, "(you)") || strings.Contains(screen, "the beginning") {
		t.Errorf("the screen has what this server does not:\n%s", screen)
	}
	ann.types("/who")
	ann.press("Enter")
	ann.shows("This server does not tell who is here")
}

// TestTerminalIsLeftClean: on a signal the terminal is as before, and what was
// not sent is printed.
func TestTerminalIsLeftClean(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := inTerminal(t, 80, 24, nil, "--server", s.Addr, "--username", "ann")
	ann.shows("● connected")
	ann.types("never sent")
	ann.shows("› never sent")
	text, err := os.ReadFile(ann.pid)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ann.shows("chat: not sent: never sent", "code=0")
}

// TestDumbTerminal: one that cannot be painted on gets lines.
func TestDumbTerminal(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := inTerminal(t, 80, 24, []string{"TERM=dumb"}, "--server", s.Addr, "--username", "ann")
	ann.types("hello")
	ann.press("Enter")
	ann.shows(" ann: hello\n")
	if screen := ann.screen(); strings.Contains(screen, "connected") {
		t.Errorf("it is painted on:\n%s", screen)
	}
}
