package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/aristochat/aristochat/cmd/chat/testserver"
)

// TestSignalWhileNobodyReads: one signal ends the program though what it prints
// is not taken.
func TestSignalWhileNobodyReads(t *testing.T) {
	s := testserver.Start(t, nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fill(t, int(w.Fd()))

	cmd := exec.CommandContext(t.Context(), chatBinary(t), "--server", s.Addr, "--username", "ann")
	var errs buffer
	cmd.Stdout, cmd.Stderr = w, &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "hello\n"); err != nil {
		t.Fatal(err)
	}
	// It is sent; so its copy is printed, which never ends.
	testserver.Await(t, "ann's message", func() bool {
		heard, _, code := chat(t, "", "--server", s.Addr, "--username", "bob", "--once", "--backlog", "200")
		if code != 0 {
			t.Fatalf("bob ended with %d", code)
		}
		return strings.Contains(heard, "ann: hello\n")
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(errs.String(), "nobody reads what is printed")) {
		t.Errorf("ended with %v, stderr %q", err, errs.String())
	}
}

// fill fills a pipe.
func fill(t *testing.T, fd int) {
	t.Helper()
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for {
			_, err := syscall.Write(fd, make([]byte, size))
			if errors.Is(err, syscall.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}
