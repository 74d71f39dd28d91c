package client

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Duration is written as Go writes it: "1h30m0s". In a request a number of
// seconds is understood too.
type Duration time.Duration

// MarshalJSON writes d as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads text such as "90s", or a number of seconds.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var seconds float64
	if json.Unmarshal(text, &seconds) == nil {
		if math.Abs(seconds) >= math.MaxInt64/float64(time.Second) {
			return fmt.Errorf("%.40s seconds are more than the 292 years that can be counted", text)
		}
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var s string
	parsed := time.Duration(0)
	err := json.Unmarshal(text, &s)
	if err == nil {
		parsed, err = time.ParseDuration(s)
	}
	if err != nil {
		return fmt.Errorf(`%.40s is not a length of time: write "90s" or "1h30m", or a number of seconds`, text)
	}
	*d = Duration(parsed)
	return nil
}
