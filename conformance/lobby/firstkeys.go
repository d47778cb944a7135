package lobby

import (
	"bytes"
	"encoding/json"
)

// firstKeys writes a JSON value again without the members whose key an object
// has already. Elixir's decoder takes the first of them, Go's the last.
func firstKeys(data []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeFirst(dec)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func decodeFirst(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := decodeFirst(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		members := map[string]any{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeFirst(dec)
			if err != nil {
				return nil, err
			}
			if _, ok := members[key.(string)]; !ok {
				members[key.(string)] = v
			}
		}
		_, err = dec.Token()
		return members, err
	}
	return tok, nil
}
