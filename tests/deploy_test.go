package tests

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The files in docs/deploy are for machines that the tests are not on. They are
// read as those machines would read them, and held against the binary and
// against each other.

const (
	deployed   = "../docs/deploy"
	stateDir   = "/var/lib/concord"
	binaryPath = "/usr/local/bin/concord"
	configPath = "/etc/concord/concord.yaml"
)

// defaultPorts are the ports of a node that was told nothing.
func defaultPorts(t *testing.T) map[string]string {
	t.Helper()
	ports := map[string]string{}
	for name, value := range nodeRunFlags(t) {
		if door, ok := strings.CutPrefix(name, "listen-"); ok {
			ports[door] = value[strings.LastIndex(value, ":")+1:]
		}
	}
	if len(ports) != 4 {
		t.Fatalf("a node has the ports %v, want api, bundle, ops and raft", ports)
	}
	return ports
}

var flagLine = regexp.MustCompile(`^\s+(?:-\w, )?--([a-z0-9.-]+)(.*)$`)
var defaultValue = regexp.MustCompile(`\(default "?([^")]*)"?\)`)

// nodeRunFlags are the flags of `concord node run`, with their defaults.
func nodeRunFlags(t *testing.T) map[string]string {
	t.Helper()
	help, err := exec.Command(concord(t), "node", "run", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{}
	for line := range strings.Lines(string(help)) {
		if found := flagLine.FindStringSubmatch(strings.TrimRight(line, "\n")); found != nil {
			flags[found[1]] = ""
			if value := defaultValue.FindStringSubmatch(found[2]); value != nil {
				flags[found[1]] = value[1]
			}
		}
	}
	return flags
}

// checkCommand fails unless words run a concord command with flags that it has.
func checkCommand(t *testing.T, where string, words []string) {
	t.Helper()
	flags := nodeRunFlags(t)
	if !slices.Equal(words[:min(2, len(words))], []string{"node", "run"}) {
		t.Errorf("%s runs %q, want node run …", where, words)
		return
	}
	for _, word := range words[2:] {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if _, known := flags[name]; isFlag && !known {
			t.Errorf("%s uses --%s, which concord node run does not have", where, name)
		}
	}
}

// checkConfig fails unless text is a valid configuration, and returns it.
func checkConfig(t *testing.T, where, text string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "concord.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(concord(t), "config", "check", file).CombinedOutput(); err != nil {
		t.Fatalf("%s is no valid configuration: %s", where, output)
	}
	var config map[string]string
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return config
}

func TestTheSampleConfigurationIsValid(t *testing.T) {
	config := checkConfig(t, "docs/deploy/concord.yaml", read(t, deployed+"/concord.yaml"))
	if config["data-dir"] != stateDir {
		t.Errorf("data-dir is %s, the unit's StateDirectory is %s", config["data-dir"], stateDir)
	}
	for key, value := range config {
		door, ok := strings.CutPrefix(key, "listen-")
		if ok && !strings.HasSuffix(value, ":"+defaultPorts(t)[door]) {
			t.Errorf("%s is %s, its default port is %s", key, value, defaultPorts(t)[door])
		}
	}
	// What is commented out must be right too.
	commented := regexp.MustCompile(`(?m)^# (bundle-profile: https_web|bundle-cert: .*|bundle-key: .*|admin-gid: .*)$`)
	all := commented.ReplaceAllString(read(t, deployed+"/concord.yaml"), "$1")
	all = strings.Replace(all, "\nbundle-profile: https_spiffe\n", "\n", 1)
	checkConfig(t, "docs/deploy/concord.yaml with everything in it", all)
}

func TestTheSystemdUnit(t *testing.T) {
	unit := readUnit(t, deployed+"/concord.service")
	service := unit["Service"]
	for _, key := range []string{"ExecStart", "ExecStartPre"} {
		words := strings.Fields(one(t, service, key))
		if words[0] != binaryPath {
			t.Errorf("%s runs %s, the guide installs %s", key, words[0], binaryPath)
		}
		if last := words[len(words)-1]; last != configPath {
			t.Errorf("%s names %s, want %s", key, last, configPath)
		}
	}
	checkCommand(t, "ExecStart", strings.Fields(one(t, service, "ExecStart"))[1:])
	for key, want := range map[string]string{
		"User":               "concord",
		"StateDirectory":     path.Base(stateDir),
		"StateDirectoryMode": "0711", // as the node sets it
		"NoNewPrivileges":    "yes",
		"ExecReload":         "/bin/kill -HUP $MAINPID",
	} {
		if got := one(t, service, key); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	// Behind these a node does not see the processes that it has to tell apart.
	for _, key := range []string{"ProtectHome", "PrivateTmp", "ProtectProc", "PrivatePIDs", "PrivateUsers", "DynamicUser"} {
		if len(service[key]) > 0 {
			t.Errorf("%s is set: workloads' programs are out of sight then", key)
		}
	}
	if one(t, unit["Install"], "WantedBy") == "" {
		t.Error("the unit cannot be enabled")
	}
}

func TestTheImage(t *testing.T) {
	steps := readContainerfile(t, deployed+"/Containerfile")
	final := steps[lastIndex(steps, "FROM"):]
	if from := final[0].rest; from != "scratch" {
		t.Errorf("the image is made from %s", from)
	}
	user, _, _ := strings.Cut(argument(final, "USER"), ":")
	if id, err := strconv.Atoi(user); err != nil || id == 0 {
		t.Errorf("USER %q: want the number of a user who is not root", argument(final, "USER"))
	}
	if entry := jsonForm(t, argument(final, "ENTRYPOINT")); !slices.Equal(entry, []string{binaryPath}) {
		t.Errorf("ENTRYPOINT is %q", entry)
	}
	checkCommand(t, "CMD", jsonForm(t, argument(final, "CMD")))
	if volume := argument(final, "VOLUME"); volume != stateDir || !slices.Contains(jsonForm(t, argument(final, "CMD")), stateDir) {
		t.Errorf("VOLUME is %s and CMD %s", volume, argument(final, "CMD"))
	}
	exposed := strings.Fields(argument(final, "EXPOSE"))
	for door, port := range defaultPorts(t) {
		if !slices.Contains(exposed, port) {
			t.Errorf("EXPOSE lacks %s, the port of %s", port, door)
		}
	}
	runs := allOf(steps, "RUN")
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "./cmd/concord", "main.version"} {
		if !strings.Contains(runs, want) {
			t.Errorf("the build lacks %s", want)
		}
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	if from := steps[0].rest; !strings.HasPrefix(from, "docker.io/library/golang:"+goVersion+" ") {
		t.Errorf("built with %s, go.mod wants %s", from, goVersion)
	}
}

func TestTheKubernetesManifests(t *testing.T) {
	kinds := map[string]object{}
	for _, o := range readManifests(t, deployed+"/kubernetes.yaml") {
		kinds[o.Kind+"/"+o.Metadata.Name] = o
		if o.Kind != "Namespace" && o.Metadata.Namespace != "concord" {
			t.Errorf("%s %s is in namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
	}
	set, ok := kinds["StatefulSet/concord"]
	if !ok {
		t.Fatal("there is no StatefulSet concord")
	}
	if set.Spec.Replicas != 1 {
		t.Errorf("%d replicas: each node is a trust domain of its own", set.Spec.Replicas)
	}
	pod := set.Spec.Template.Spec
	container := pod.Containers[0]
	config := checkConfig(t, "the ConfigMap", kinds["ConfigMap/concord"].Data["concord.yaml"])
	checkCommand(t, "the container", container.Args)
	if !slices.Contains(container.Args, configPath) || mounted(container, path.Dir(configPath)) != "config" {
		t.Errorf("the container reads %q, mounted is %+v", container.Args, container.VolumeMounts)
	}

	// The volume's own directory gets its mode from the kubelet, the one below
	// from the node.
	if path.Dir(config["data-dir"]) != stateDir || mounted(container, stateDir) != "data" {
		t.Errorf("data-dir %s is not right below the volume at %s", config["data-dir"], stateDir)
	}
	for _, variable := range container.Env {
		if strings.HasSuffix(variable.Name, "SOCKET") && path.Dir(variable.Value) != config["data-dir"] {
			t.Errorf("%s=%s is not in %s", variable.Name, variable.Value, config["data-dir"])
		}
	}

	rights := pod.SecurityContext
	if !rights.RunAsNonRoot || rights.RunAsUser == 0 || rights.FSGroupChangePolicy != "OnRootMismatch" {
		t.Errorf("the pod's security context is %+v", rights)
	}
	if r := container.SecurityContext; r.AllowPrivilegeEscalation || !r.ReadOnlyRootFilesystem || !slices.Equal(r.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("the container's security context is %+v", r)
	}
	checkPorts(t, config, container, kinds)
}

// checkPorts holds container, services, probes and configuration together.
func checkPorts(t *testing.T, config map[string]string, container container, kinds map[string]object) {
	t.Helper()
	ports := defaultPorts(t)
	named := map[string]string{}
	for _, p := range container.Ports {
		named[p.Name] = strconv.Itoa(p.ContainerPort)
	}
	for door, port := range ports {
		if named[door] != port {
			t.Errorf("container port %s is %q, want %s", door, named[door], port)
		}
		if listens := config["listen-"+door]; listens != "0.0.0.0:"+port {
			t.Errorf("listen-%s is %q: the pod's other side could not reach it", door, listens)
		}
	}
	for name, o := range kinds {
		if o.Kind != "Service" {
			continue
		}
		for _, p := range o.Spec.Ports {
			if named[p.TargetPort] != strconv.Itoa(p.Port) {
				t.Errorf("%s leads %d to %q", name, p.Port, p.TargetPort)
			}
		}
	}
	for what, probe := range map[string]probe{"/ready": container.ReadinessProbe, "/live": container.LivenessProbe} {
		if probe.HTTPGet.Path != what || probe.HTTPGet.Port != "ops" {
			t.Errorf("a probe asks %+v, want %s of ops", probe.HTTPGet, what)
		}
	}
	if kinds["Service/"+kinds["StatefulSet/concord"].Spec.ServiceName].Kind == "" {
		t.Error("the StatefulSet's service is not there")
	}
}
