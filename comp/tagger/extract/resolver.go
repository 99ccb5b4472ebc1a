package extract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/template"
)

// resolver knows the template variables of a pod's annotations:
//
//	%%host%% %%host_<network>%%  IP address of the pod; of the container, if it has one
//	%%hostname%%                 name of the pod; of the container its host name
//	%%pid%%                      process ID; containers only
//	%%port%% %%port_<n or name>%%  highest port, n-th port from 0, port by name; containers only
//	%%kube_namespace%% %%kube_pod_name%% %%kube_pod_uid%%
//	%%env_<NAME>%%               environment variable, by [Options.LookupEnv]
type resolver struct {
	pod       *workloadmeta.KubernetesPod
	container *workloadmeta.Container // nil for the pod itself
	env       func(string) (string, bool)
}

// text resolves the variables in a piece of JSON. Values are escaped for JSON strings.
// The error names the first variable that has no value.
func (r resolver) text(s string) (string, error) {
	if !template.Has(s) {
		return s, nil
	}
	out, ok := template.Expand(s, func(name, key string) (string, bool) {
		value, ok := r.variable(name, key)
		return escape(value), ok && value != ""
	})
	if !ok {
		return "", fmt.Errorf("template variable %s has no value here", out)
	}
	return out, nil
}

func (r resolver) variable(name, key string) (string, bool) {
	switch name {
	case "host":
		return r.host(key)
	case "hostname":
		switch {
		case r.container == nil:
			return r.pod.Name, true
		case r.container.Hostname != "":
			return r.container.Hostname, true
		}
		return r.container.Name, true
	case "pid":
		if r.container == nil || r.container.PID == 0 {
			return "", false
		}
		return strconv.Itoa(r.container.PID), true
	case "port":
		if r.container == nil {
			return "", false
		}
		return port(r.container.Ports, key)
	case "kube":
		switch key {
		case "namespace":
			return r.pod.Namespace, true
		case "pod_name":
			return r.pod.Name, true
		case "pod_uid":
			return r.pod.ID, true
		}
	case "env":
		if r.env != nil && key != "" {
			return r.env(key)
		}
	}
	return "", false
}

// host returns the address on the named network. Without a name, or if there is no
// such network, it is the only address, else that of the network "bridge", else the
// pod's.
func (r resolver) host(network string) (string, bool) {
	if r.container != nil {
		ips := r.container.NetworkIPs
		if ip, ok := ips[network]; ok {
			return ip, true
		}
		if len(ips) == 1 {
			for _, ip := range ips {
				return ip, true
			}
		}
		if ip, ok := ips["bridge"]; ok {
			return ip, true
		}
	}
	return r.pod.IP, true
}

func port(ports []workloadmeta.ContainerPort, key string) (string, bool) {
	if len(ports) == 0 {
		return "", false
	}
	sorted := slices.SortedFunc(slices.Values(ports),
		func(a, b workloadmeta.ContainerPort) int { return a.Port - b.Port })
	if key == "" {
		return strconv.Itoa(sorted[len(sorted)-1].Port), true
	}
	if i, err := strconv.Atoi(key); err == nil {
		if i < 0 || i >= len(sorted) {
			return "", false
		}
		return strconv.Itoa(sorted[i].Port), true
	}
	for _, p := range sorted {
		if p.Name == key {
			return strconv.Itoa(p.Port), true
		}
	}
	return "", false
}

// escape makes a value safe inside a JSON string.
func escape(value string) string {
	quoted, err := json.Marshal(value)
	if err != nil {
		return "" // a string always has a JSON form
	}
	return string(quoted[1 : len(quoted)-1])
}
