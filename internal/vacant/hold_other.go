//go:build !linux

package vacant

import "net"

// Hold is [Address] where there is no test, such as in an example: release ends
// what a test's end does. It must be called once.
func Hold() (address string, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() {}, l.Close()
}
