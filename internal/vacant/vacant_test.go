package vacant_test

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/aristochat/aristochat/internal/vacant"
)

func TestAddress(t *testing.T) {
	address := vacant.Address(t)
	for range 3 {
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("somebody listens: %v, %v", c, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
}

// Whoever asks for any port is given another one, even if there is hardly any.
func TestNobodyElseGetsIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the port is not held")
	}
	const few = 200
	held := map[string]bool{}
	for range few {
		held[vacant.Address(t)] = true
	}
	if len(held) != few {
		t.Fatalf("%d addresses are %d different ones", few, len(held))
	}
	for range few {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if held[l.Addr().String()] {
			t.Errorf("%s was given to another", l.Addr())
		}
	}
}
