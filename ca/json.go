package ca

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// decodeObject reads data as exactly one JSON object. Two members of one name,
// whatever their spelling, bytes after the object, text that is not UTF-8 and
// nesting past maxClaimsNested are errors: none of two readers of the same
// token may see something else.
func decodeObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errors.New("not one JSON object in UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	value, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("a value at byte %d cannot be read", dec.InputOffset())
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxClaimsNested {
		return nil, fmt.Errorf("nested deeper than %d at byte %d", maxClaimsNested, dec.InputOffset())
	}
	if delim == '{' {
		return decodeMembers(dec, depth+1)
	}
	list := []any{}
	for dec.More() {
		value, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err = dec.Token()
	return list, err
}

func decodeMembers(dec *json.Decoder, depth int) (map[string]any, error) {
	members := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("the member %.40q occurs twice, again before byte %d", name, dec.InputOffset())
		}
		if members[name], err = decodeValue(dec, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return members, err
}
