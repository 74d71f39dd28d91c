package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// maxConfigBytes bounds a configuration file.
const maxConfigBytes = 1 << 20

// nodeFlags binds each setting of a node to its name. The names in a
// configuration file are the flags' names, so this is the one list of both.
func nodeFlags(c *node.Config) *pflag.FlagSet {
	f := pflag.NewFlagSet("node", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVar(&c.TrustDomain, "trust-domain", c.TrustDomain, "name of the trust domain; a random one if it is new and you give none")
	f.StringVar(&c.DataDir, "data-dir", c.DataDir, "directory of this node's state, keys and sockets")
	f.StringVar(&c.NodeName, "node-name", c.NodeName, "this node's name in its agent ID")
	f.StringVar(&c.ListenAPI, "listen-api", c.ListenAPI, "address of the gRPC API (TLS)")
	f.StringVar(&c.ListenBundle, "listen-bundle", c.ListenBundle, "address of the bundle endpoint (HTTPS)")
	f.StringVar(&c.ListenRaft, "listen-raft", c.ListenRaft, "address for the other members of the cluster")
	f.StringVar(&c.AdvertiseRaft, "advertise-raft", c.AdvertiseRaft, "where other members reach listen-raft, host:port (default where it listens)")
	f.StringVar(&c.ListenOps, "listen-ops", c.ListenOps, "address of /live, /ready and /metrics (HTTP)")
	f.IntVar(&c.AdminGID, "admin-gid", c.AdminGID, "group that may use the admin socket; -1: this node's user only")
	f.StringVar((*string)(&c.BundleProfile), "bundle-profile", string(c.BundleProfile), "profile of the bundle endpoint: "+string(federation.HTTPSSPIFFE)+" or "+string(federation.HTTPSWeb))
	f.StringVar(&c.BundleCert, "bundle-cert", c.BundleCert, "PEM file: the endpoint's certificate chain (https_web)")
	f.StringVar(&c.BundleKey, "bundle-key", c.BundleKey, "PEM file: the endpoint's private key (https_web)")
	f.DurationVar(&c.RefreshHint, "refresh-hint", c.RefreshHint, "how often others are told to fetch our bundle")
	f.DurationVar(&c.PublicationWindow, "publication-window", c.PublicationWindow, "how long a key is published before it signs; negative: 3 × the largest hint served")
	f.DurationVar(&c.X509TTL, "x509-svid-ttl", c.X509TTL, "life of an X.509-SVID whose entry says nothing")
	f.DurationVar(&c.JWTTTL, "jwt-svid-ttl", c.JWTTTL, "life of a JWT-SVID whose entry says nothing")
	f.DurationVar(&c.IntermediateTTL, "intermediate-ttl", c.IntermediateTTL, "life of a node's intermediate")
	f.DurationVar(&c.RootTTL, "root-ttl", c.RootTTL, "life of an authority")
	f.StringVar((*string)(&c.KeyType), "key-type", string(c.KeyType), fmt.Sprintf("kind of the authorities' keys: %s, %s, %s or %s", ca.P256, ca.P384, ca.RSA2048, ca.RSA4096))
	f.StringVar(&c.KeyManager, "key-manager", c.KeyManager, "where authorities' keys live: sealed (replicated as ciphertext) or memory (lost at exit)")
	f.DurationVar(&c.MaxStaleness, "issuance.max-staleness", c.MaxStaleness, "how long this node issues without having heard a leader")
	f.DurationVar(&c.RemoveSilent, "cluster.remove-silent-after", c.RemoveSilent, "how long a member may be silent until the leader removes it for good; 0: it never does")
	f.StringSliceVar(&c.DenyNetworks, "federation.deny-networks", c.DenyNetworks, "networks that bundles are never fetched from, such as 10.0.0.0/8")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
	return f
}

// settings are a configuration, and the line of each setting that a file has.
type settings struct {
	node.Config
	file  string
	lines map[string]int
}

// loadConfig reads a configuration file over the defaults. Every error names
// the file, the line and what is wrong there.
func loadConfig(path string) (settings, error) {
	s := settings{Config: node.Defaults(), file: path}
	file, err := os.Open(path)
	if err != nil {
		return s, fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err != nil {
		return s, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxConfigBytes {
		return s, fmt.Errorf("%s has more than %d bytes: that is no configuration", path, maxConfigBytes)
	}
	s.lines, err = parseConfig(path, text, &s.Config)
	return s, err
}

// validate checks the settings together. What is wrong is said with its place:
// the file's line, or its flag if that was given.
func (s settings) validate(flagged func(name string) bool) error {
	err := s.Config.Validate()
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var errs []error
	for _, err := range all.Unwrap() {
		name, _, _ := strings.Cut(err.Error(), ":")
		switch line, set := s.lines[name]; {
		case flagged(name):
			err = fmt.Errorf("--%w", err)
		case set:
			err = fmt.Errorf("%s:%d: %w", s.file, line, err)
		case s.file != "":
			err = fmt.Errorf("%s: %w", s.file, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// parseConfig reads YAML into c, and returns the line of each setting.
func parseConfig(name string, text []byte, c *node.Config) (map[string]int, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(document.Content) == 0 {
		return nil, nil // empty: everything is as by default
	}
	r := reader{file: name, flags: nodeFlags(c), seen: map[string]int{}}
	r.mapping("", document.Content[0])
	return r.seen, errors.Join(r.errs...)
}

// reader walks a YAML document and sets flags.
type reader struct {
	file  string
	flags *pflag.FlagSet
	seen  map[string]int // line of each key
	errs  []error
}

func (r *reader) wrong(line int, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", r.file, line, fmt.Sprintf(format, args...)))
}

// mapping reads one level; keys below federation: are federation.<key>.
func (r *reader) mapping(prefix string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, "expected settings of the form name: value")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := prefix + key.Value
		if value.Kind == yaml.AliasNode || key.Kind != yaml.ScalarNode {
			r.wrong(key.Line, "anchors, aliases and complex keys are not understood here")
			continue
		}
		if value.Kind == yaml.MappingNode && r.isPrefix(name+".") {
			r.mapping(name+".", value)
			continue
		}
		r.setting(name, key, value)
	}
}

func (r *reader) isPrefix(prefix string) bool {
	found := false
	r.flags.VisitAll(func(f *pflag.Flag) { found = found || strings.HasPrefix(f.Name, prefix) })
	return found
}

func (r *reader) setting(name string, key, value *yaml.Node) {
	if line, twice := r.seen[name]; twice {
		r.wrong(key.Line, "%s is set twice, first on line %d", name, line)
		return
	}
	r.seen[name] = key.Line
	if r.flags.Lookup(name) == nil {
		r.wrong(key.Line, "unknown key %q; the nearest is %q", name, r.nearest(name))
		return
	}
	text, ok := scalar(value)
	if !ok {
		r.wrong(value.Line, "%s: expected a value, or a list of values", name)
		return
	}
	if err := r.flags.Set(name, text); err != nil {
		r.wrong(value.Line, "%s: %q is not a valid value: %v", name, text, cause(err))
	}
}

// scalar returns the text of a value; a list is joined by commas.
func scalar(n *yaml.Node) (string, bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, n.Tag != "!!null"
	case yaml.SequenceNode:
		var parts []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || strings.Contains(item.Value, ",") {
				return "", false
			}
			parts = append(parts, item.Value)
		}
		return strings.Join(parts, ","), true
	}
	return "", false
}

// nearest returns the setting whose name takes the fewest edits to become name.
func (r *reader) nearest(name string) string {
	var names []string
	r.flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near, _ := nearest(name, names)
	return near
}

// cause is what a flag's own parser said, without the flag's name around it.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
