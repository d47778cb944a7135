package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
)

// The scanner finds where JSON values end and accepts exactly what Phoenix's
// decoder does. Next to encoding/json it refuses a \u escape that is half of a
// surrogate pair, and a number with a fraction or an exponent that is too large
// for a float64; encoding/json lets the former pass as U+FFFD. Values may be
// nested maxDepth deep. It neither recurses nor allocates.

// maxDepth bounds how deep the arrays and objects of one value are nested. It
// leaves room to wrap the value in a frame and a reply that encoding/json, which
// stops at 10,000, still reads.
const maxDepth = 156 * 64

func syntaxError(at int, problem string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, problem, at)
}

// eachElement calls yield for each element of the array that is all of b.
func eachElement(b []byte, yield func(value []byte)) error {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '[' {
		return syntaxError(i, "not an array")
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return atEnd(b, i+1)
	}
	for {
		end, err := skipValue(b, i)
		if err != nil {
			return err
		}
		yield(b[i:end:end])
		i = skipSpace(b, end)
		switch {
		case i < len(b) && b[i] == ',':
			i = skipSpace(b, i+1)
		case i < len(b) && b[i] == ']':
			return atEnd(b, i+1)
		default:
			return syntaxError(i, "array not continued")
		}
	}
}

// eachMember calls yield for each member of the object that is all of b.
func eachMember(b []byte, yield func(key string, value []byte)) error {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return syntaxError(i, "not an object")
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return atEnd(b, i+1)
	}
	for {
		keyEnd, value, err := skipKey(b, i)
		if err != nil {
			return err
		}
		end, err := skipValue(b, value)
		if err != nil {
			return err
		}
		yield(unquote(b[i:keyEnd]), b[value:end:end])
		i = skipSpace(b, end)
		switch {
		case i < len(b) && b[i] == ',':
			i = skipSpace(b, i+1)
		case i < len(b) && b[i] == '}':
			return atEnd(b, i+1)
		default:
			return syntaxError(i, "object not continued")
		}
	}
}

// atEnd checks that there is nothing but space from b[i] on.
func atEnd(b []byte, i int) error {
	if i = skipSpace(b, i); i < len(b) {
		return syntaxError(i, "data after the value")
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipKey skips the key of an object's member, which begins at b[i]. It returns
// the index behind the key and that of the member's value.
func skipKey(b []byte, i int) (end, value int, err error) {
	if i == len(b) || b[i] != '"' {
		return 0, 0, syntaxError(i, "no key")
	}
	if end, err = skipString(b, i); err != nil {
		return 0, 0, err
	}
	if i = skipSpace(b, end); i == len(b) || b[i] != ':' {
		return 0, 0, syntaxError(i, "no colon after key")
	}
	return end, skipSpace(b, i+1), nil
}

// errStack reports that a value is nested deeper than the stack has bits.
var errStack = errors.New("stack too small")

// skipValue returns the index behind the value that begins at b[i].
func skipValue(b []byte, i int) (end int, err error) {
	var stack [1]uint64
	end, err = skipNested(b, i, stack[:])
	if errors.Is(err, errStack) {
		return skipDeep(b, i)
	}
	return end, err
}

// skipDeep is skipValue for what hardly ever comes, so that the large stack is
// cleared only then.
//
//go:noinline
func skipDeep(b []byte, i int) (end int, err error) {
	var stack [maxDepth / 64]uint64
	end, err = skipNested(b, i, stack[:])
	if errors.Is(err, errStack) {
		return 0, syntaxError(i, "value nested too deep")
	}
	return end, err
}

// skipNested is skipValue with a stack that has one bit for each array (0) or
// object (1) that is open.
func skipNested(b []byte, i int, stack []uint64) (end int, err error) {
	depth := 0
	for {
		// A value begins at b[i].
		if i == len(b) {
			return 0, syntaxError(i, "unexpected end")
		}
		switch c := b[i]; c {
		case '"':
			i, err = skipString(b, i)
		case '{', '[':
			if depth == len(stack)*64 {
				return 0, errStack
			}
			word, bit := &stack[depth/64], uint64(1)<<(depth%64)
			depth++
			i = skipSpace(b, i+1)
			switch {
			case i < len(b) && b[i] == c+2: // '}' or ']'
				depth--
				i++
			case c == '{':
				*word |= bit
				if _, i, err = skipKey(b, i); err != nil {
					return 0, err
				}
				continue
			default:
				*word &^= bit
				continue
			}
		case 't':
			i, err = skipLiteral(b, i, "true")
		case 'f':
			i, err = skipLiteral(b, i, "false")
		case 'n':
			i, err = skipLiteral(b, i, "null")
		default:
			i, err = skipNumber(b, i)
		}
		if err != nil {
			return 0, err
		}
		// It has ended before b[i], and with it all that it is the last of.
		for depth > 0 {
			i = skipSpace(b, i)
			if i == len(b) || b[i] != closing(stack, depth) {
				break
			}
			depth--
			i++
		}
		switch {
		case depth == 0:
			return i, nil
		case i == len(b):
			return 0, syntaxError(i, "unexpected end")
		case b[i] != ',':
			return 0, syntaxError(i, "array or object not continued")
		case closing(stack, depth) == '}':
			if _, i, err = skipKey(b, skipSpace(b, i+1)); err != nil {
				return 0, err
			}
		default:
			i = skipSpace(b, i+1)
		}
	}
}

// closing returns the bracket that closes the innermost of depth values.
func closing(stack []uint64, depth int) byte {
	if stack[(depth-1)/64]>>((depth-1)%64)&1 == 1 {
		return '}'
	}
	return ']'
}

func skipLiteral(b []byte, i int, literal string) (end int, err error) {
	end = i + len(literal)
	if end > len(b) || string(b[i:end]) != literal {
		return 0, syntaxError(i, "no value")
	}
	return end, nil
}

// skipString skips a string, whose opening quote is b[i].
func skipString(b []byte, i int) (end int, err error) {
	i++
	for {
		i = skipPlain(b, i)
		if i == len(b) {
			return 0, syntaxError(i, "unexpected end of string")
		}
		switch b[i] {
		case '"':
			return i + 1, nil
		case '\\':
			if i, err = skipEscape(b, i); err != nil {
				return 0, err
			}
		default:
			return 0, syntaxError(i, "control character in string")
		}
	}
}

// skipPlain returns the index of the first byte from b[i] on that is a quote, a
// backslash or a control character. It looks at eight bytes at a time.
func skipPlain(b []byte, i int) int {
	const (
		ones   = 0x0101010101010101
		highs  = 0x80 * ones
		quotes = '"' * ones
		slants = '\\' * ones
	)
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		quote, slant := word^quotes, word^slants
		// x-ones&^x has the high bit set in the lowest byte of x that is 0, and
		// word-' '*ones&^word in the lowest byte of word that is less than ' '.
		// Above it a borrow may set others, below it none.
		found := ((quote-ones)&^quote | (slant-ones)&^slant | (word-' '*ones)&^word) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// skipEscape skips the escape whose backslash is b[i], which is two if they are
// a surrogate pair.
func skipEscape(b []byte, i int) (end int, err error) {
	if i+1 == len(b) {
		return 0, syntaxError(i, "unexpected end of string")
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
		r, ok := hex4(b[i+2:])
		if !ok {
			break
		}
		if !utf16.IsSurrogate(r) {
			return i + 6, nil
		}
		if rest := b[i+6:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			low, ok := hex4(rest[2:])
			if ok && r < 0xDC00 && 0xDC00 <= low && low <= 0xDFFF {
				return i + 12, nil
			}
		}
		return 0, syntaxError(i, "half of a surrogate pair")
	}
	return 0, syntaxError(i, "invalid escape")
}

func skipNumber(b []byte, i int) (end int, err error) {
	start := i
	if b[i] == '-' {
		i++
	}
	digits := i
	i = skipDigits(b, i)
	switch {
	case i == digits:
		return 0, syntaxError(start, "no value")
	case b[digits] == '0' && i > digits+1:
		return 0, syntaxError(start, "number with a leading zero")
	}
	const safeDigits = 308 // a float64 has any number of so many digits
	large := i-digits > safeDigits
	isFloat := false
	if i < len(b) && b[i] == '.' {
		isFloat = true
		digits = i + 1
		if i = skipDigits(b, digits); i == digits {
			return 0, syntaxError(start, "number without digits after the point")
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		isFloat, large = true, true
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		digits = i
		if i = skipDigits(b, digits); i == digits {
			return 0, syntaxError(start, "number without digits in its exponent")
		}
	}
	if isFloat && large {
		if _, err := strconv.ParseFloat(view(b[start:i]), 64); err != nil {
			return 0, syntaxError(start, "number too large")
		}
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}
