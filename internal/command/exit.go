package command

import "errors"

// Exit codes of every program. Each has others of its own, from 3 on.
const (
	Failure = 1 // what has no code of its own
	Usage   = 2 // a flag or environment variable is wrong
)

// A failError ends the program with a code of its own.
type failError struct {
	code int
	err  error
}

func (e *failError) Error() string { return e.err.Error() }
func (e *failError) Unwrap() error { return e.err }

// Fail returns err as one that ends the program with code.
func Fail(code int, err error) error { return &failError{code, err} }

// ExitCode is the code that err, which is not nil, ends the program with.
func ExitCode(err error) int {
	if e, ok := errors.AsType[*failError](err); ok {
		return e.code
	}
	return Failure
}
