// Package lobby is the server that the recorded cases talk to, written with our
// own library: channels that reply, push, broadcast, stop and crash on demand,
// under the configurations that the recordings call profiles.
package lobby
