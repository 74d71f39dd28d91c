package workload

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxDNSNameBytes  = 253
	maxDNSLabelBytes = 63
)

func validateDNSNames(names []string) error {
	if len(names) > MaxDNSNames {
		return wrong("dns_names", "are %d, the most is %d", len(names), MaxDNSNames)
	}
	for i, name := range names {
		if problem := checkDNSName(name); problem != "" {
			return wrong("dns_names", "hold %.80q, which is not a DNS name: %s", name, problem)
		}
		if slices.Contains(names[:i], name) {
			return wrong("dns_names", "hold %.80q twice", name)
		}
	}
	return nil
}

// checkDNSName says what keeps name from being a host name in ASCII, with at
// most one * as its whole first label; "" if nothing does.
func checkDNSName(name string) string {
	if name == "" {
		return "it is empty"
	}
	if len(name) > maxDNSNameBytes {
		return fmt.Sprintf("it has %d bytes, the most is %d", len(name), maxDNSNameBytes)
	}
	labels := strings.Split(name, ".")
	if labels[0] == "*" {
		labels = labels[1:]
		if len(labels) == 0 {
			return "a * alone stands for every host"
		}
	}
	for _, label := range labels {
		if problem := checkDNSLabel(label); problem != "" {
			return problem
		}
	}
	return ""
}

func checkDNSLabel(label string) string {
	switch {
	case label == "":
		return "a label is empty; there is no dot at the end and there are no two together"
	case len(label) > maxDNSLabelBytes:
		return fmt.Sprintf("a label has %d bytes, the most is %d", len(label), maxDNSLabelBytes)
	case label[0] == '-' || label[len(label)-1] == '-':
		return "a label begins or ends with a dash"
	}
	for i := range len(label) {
		c := label[i]
		if c == '*' {
			return "a * stands only for the whole first label"
		}
		if c == '_' || c == '.' || !isSegmentByte(c) {
			return "a label " + describeByte(c, "letters, digits and dashes")
		}
	}
	return ""
}
