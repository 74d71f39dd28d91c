package tests

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The parts of Kubernetes' objects that are looked at. What is misspelt there
// is empty here, and fails.
type (
	object struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name      string `yaml:"name"`
			Namespace string `yaml:"namespace"`
		} `yaml:"metadata"`
		Data map[string]string `yaml:"data"`
		Spec struct {
			Replicas    int    `yaml:"replicas"`
			ServiceName string `yaml:"serviceName"`
			Ports       []struct {
				Port       int    `yaml:"port"`
				TargetPort string `yaml:"targetPort"`
			} `yaml:"ports"`
			Template struct {
				Spec struct {
					SecurityContext struct {
						RunAsNonRoot        bool   `yaml:"runAsNonRoot"`
						RunAsUser           int    `yaml:"runAsUser"`
						FSGroupChangePolicy string `yaml:"fsGroupChangePolicy"`
					} `yaml:"securityContext"`
					Containers []container `yaml:"containers"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	container struct {
		Args []string `yaml:"args"`
		Env  []struct {
			Name  string `yaml:"name"`
			Value string `yaml:"value"`
		} `yaml:"env"`
		Ports []struct {
			Name          string `yaml:"name"`
			ContainerPort int    `yaml:"containerPort"`
		} `yaml:"ports"`
		ReadinessProbe  probe `yaml:"readinessProbe"`
		LivenessProbe   probe `yaml:"livenessProbe"`
		SecurityContext struct {
			AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct {
				Drop []string `yaml:"drop"`
			} `yaml:"capabilities"`
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTPGet struct {
			Path string `yaml:"path"`
			Port string `yaml:"port"`
		} `yaml:"httpGet"`
	}
)

// mounted returns the name of the volume at a path.
func mounted(c container, at string) string {
	for _, m := range c.VolumeMounts {
		if m.MountPath == at {
			return m.Name
		}
	}
	return ""
}

func readManifests(t *testing.T, name string) []object {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []object
	documents := yaml.NewDecoder(file)
	for {
		var o object
		err := documents.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s, document %d: %v", name, len(all)+1, err)
		}
		if o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" {
			t.Errorf("%s, document %d has no apiVersion, kind or name", name, len(all)+1)
		}
		all = append(all, o)
	}
}

// readUnit returns the values of each key of each section, in order.
func readUnit(t *testing.T, name string) map[string]map[string][]string {
	t.Helper()
	unit, section := map[string]map[string][]string{}, ""
	for n, line := range lines(t, name) {
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			unit[section] = map[string][]string{}
		case !assigned || section == "" || strings.ContainsAny(key, " \t"):
			t.Errorf("%s:%d: %q is no assignment in a section", name, n+1, line)
		default:
			unit[section][key] = append(unit[section][key], value)
		}
	}
	return unit
}

// one returns the only value of a key.
func one(t *testing.T, section map[string][]string, key string) string {
	t.Helper()
	if len(section[key]) != 1 {
		t.Fatalf("%s is set %d times, want once", key, len(section[key]))
	}
	return section[key][0]
}

type instruction struct{ name, rest string }

// readContainerfile returns the instructions, with continued lines joined.
func readContainerfile(t *testing.T, name string) []instruction {
	t.Helper()
	var all []instruction
	text := ""
	for _, line := range lines(t, name) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if before, continued := strings.CutSuffix(line, "\\"); continued {
			text += before
			continue
		}
		what, rest, _ := strings.Cut(strings.TrimSpace(text+line), " ")
		all, text = append(all, instruction{what, strings.TrimSpace(rest)}), ""
	}
	return all
}

func lastIndex(all []instruction, name string) int {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].name == name {
			return i
		}
	}
	return 0
}

// argument returns what follows the last instruction of a name.
func argument(all []instruction, name string) string {
	if at := lastIndex(all, name); all[at].name == name {
		return all[at].rest
	}
	return ""
}

func allOf(all []instruction, name string) string {
	var text strings.Builder
	for _, i := range all {
		if i.name == name {
			text.WriteString(i.rest + "\n")
		}
	}
	return text.String()
}

// jsonForm reads an instruction's argument in its JSON form.
func jsonForm(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	var all []string
	scanner := bufio.NewScanner(strings.NewReader(read(t, name)))
	for scanner.Scan() {
		all = append(all, scanner.Text())
	}
	return all
}
