package client_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/conformance/lobby"
)

// serverProcess is the variable that makes this program a server instead of
// tests, so that a benchmark measures the client alone.
const serverProcess = "ARISTOCHAT_TEST_CLIENTS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverProcess) != "" {
		srv, err := lobby.Start(context.Background(), lobby.Config{Logger: quiet()})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(srv.Addr())
		_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started it ends
		return
	}
	os.Exit(m.Run())
}

// otherProcess starts a server in a process of its own.
func otherProcess(b *testing.B) (url string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverProcess+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "ws://" + strings.TrimSpace(line) + "/socket"
}
