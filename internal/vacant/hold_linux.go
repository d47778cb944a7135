package vacant

import (
	"net"
	"net/netip"
	"os"
	"syscall"
)

// Hold is [Address] where there is no test, such as in an example: release ends
// what a test's end does. It must be called once.
//
// What holds the port is a socket that is bound to it and does not listen. With
// SO_REUSEADDR on both sides, which is Go's default, another may listen beside
// it, but only one that names the port; see ip(7) and bind(2).
func Hold() (address string, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(fd)
		}
	}()
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", nil, os.NewSyscallError("setsockopt", err)
	}
	loopback := [4]byte{127, 0, 0, 1}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback}); err != nil {
		return "", nil, os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return "", nil, os.NewSyscallError("getsockname", err)
	}
	port := bound.(*syscall.SockaddrInet4).Port
	address = netip.AddrPortFrom(netip.AddrFrom4(loopback), uint16(port)).String()
	l, err := net.Listen("tcp", address)
	if err != nil { // what is taken for Linux, such as gVisor, need not be so kind
		return address, func() {}, syscall.Close(fd)
	}
	return address, func() { _ = syscall.Close(fd) }, l.Close()
}
