package check

import "fmt"

// A Level says how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // it works, but not in every case
	Failed  Level = "failed"  // it does not work
)

// A Finding is what one check found.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	// Change is what to do about it.
	Change string `json:"change,omitempty"`
	// Lasting says that waiting does not help: an edge that is started so ends.
	Lasting bool `json:"lasting,omitempty"`
}

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Level: OK, Message: fmt.Sprintf(format, args...)}
}

func warning(check, message, change string) Finding {
	return Finding{Check: check, Level: Warning, Message: message, Change: change}
}

func failed(check, message, change string) Finding {
	return Finding{Check: check, Level: Failed, Message: message, Change: change}
}

func lasting(f Finding) Finding {
	f.Lasting = true
	return f
}
