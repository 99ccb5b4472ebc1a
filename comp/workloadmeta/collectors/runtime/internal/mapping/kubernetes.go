package mapping

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Annotations that the kubelet puts on containers.
const (
	AnnotationPorts    = "io.kubernetes.container.ports"
	AnnotationRestarts = "io.kubernetes.container.restartCount"
)

// KubernetesPorts reads the value of [AnnotationPorts]. Protocols are in lower case, as runtimes
// spell them. What cannot be read is left out.
func KubernetesPorts(annotation string) []workloadmeta.ContainerPort {
	if annotation == "" {
		return nil
	}
	var in []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		HostPort      int    `json:"hostPort"`
		Protocol      string `json:"protocol"`
	}
	if err := LenientJSON(json.Unmarshal([]byte(annotation), &in)); err != nil {
		return nil
	}
	var ports []workloadmeta.ContainerPort
	for _, p := range in[:min(len(in), MaxPorts)] {
		port := workloadmeta.ContainerPort{Name: p.Name, Port: p.ContainerPort,
			Protocol: strings.ToLower(p.Protocol)}
		if p.HostPort > 0 && p.HostPort <= 65535 {
			port.HostPort = uint16(p.HostPort)
		}
		ports = append(ports, port)
	}
	return SortPorts(ports)
}

// LenientJSON lets an answer pass in which a field has another type than expected: the field is
// then empty, and everything else is there.
func LenientJSON(err error) error {
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	return err
}
