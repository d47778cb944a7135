// Package vacant has addresses for tests: of servers that are away for a while,
// and of servers that there are none of.
package vacant

import "testing"

// Address returns an address of this machine, host:port, on which nobody listens
// but the test. It may do so and stop as often as it likes: until it ends the
// port is given to no other program that asks for any. Only where it is Linux
// that gives out ports; elsewhere the address is merely free right now.
func Address(t testing.TB) string {
	t.Helper()
	address, release, err := Hold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}
