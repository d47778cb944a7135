package backbone

import "testing"

// WithoutRechecks leaves what was missed to the means that a test is about.
func WithoutRechecks(t testing.TB) {
	old := recheck
	recheck = nil
	t.Cleanup(func() { recheck = old })
}

// Describe is what [Probe.Server] does once the server has answered.
func (p *Probe) Describe() (ServerInfo, error) { return p.describe(0) }
