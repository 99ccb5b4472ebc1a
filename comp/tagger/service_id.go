package tagger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ServiceKind says what an autodiscovery service stands for.
type ServiceKind uint8

// Kinds of services, with the form of their IDs.
const (
	ServiceContainer     ServiceKind = iota + 1 // <runtime>://<container ID>
	ServiceKubernetesPod                        // kubernetes_pod://<pod UID>
	ServiceECSTask                              // ecs_task://<task ID>
	// <process GUID>/<service name>/<instance GUID>: a Cloud Foundry app's container
	ServiceLRPContainer
	// <app GUID>/<service name>: a service bound to a Cloud Foundry app
	ServiceLRPBound
	// _<name>: a container runtime or an orchestrator of this node
	ServiceNode
	ServiceKubeEndpoint // kube_endpoint_uid://<namespace>/<name>/<IP>
	ServiceKubeService  // kube_service://<namespace>/<name>
	// <hash of the configuration, in hexadecimal>: an SNMP device
	ServiceSNMP
	serviceKindEnd
)

var serviceKindNames = [serviceKindEnd]string{
	ServiceContainer: "container", ServiceKubernetesPod: "kubernetes_pod",
	ServiceECSTask:      "ecs_task",
	ServiceLRPContainer: "cloudfoundry_container", ServiceLRPBound: "cloudfoundry_service",
	ServiceNode:         "node",
	ServiceKubeEndpoint: "kube_endpoint", ServiceKubeService: "kube_service", ServiceSNMP: "snmp",
}

// String returns a name for people.
func (k ServiceKind) String() string {
	if k == 0 || k >= serviceKindEnd {
		return "invalid"
	}
	return serviceKindNames[k]
}

// The schemes that are not names of container runtimes.
const (
	schemePod      = "kubernetes_pod"
	schemeTask     = "ecs_task"
	schemeEndpoint = "kube_endpoint_uid"
	schemeService  = "kube_service"
)

// ServiceID names an autodiscovery service. Which fields are set depends on the kind.
// Services have forms of ID that are older than the tagger's; [ServiceID.TaggerEntity]
// leads from one to the other.
type ServiceID struct {
	Kind ServiceKind
	// ID is the container's ID, the pod's UID, the task's ID or ARN, the instance GUID
	// of a Cloud Foundry container, or the hash of an SNMP configuration.
	ID        string
	Runtime   string // of a container: docker, containerd, cri-o, …
	Owner     string // Cloud Foundry: process GUID of a container, app GUID of a bound service
	Namespace string // of a Kubernetes service or endpoint
	Name      string // of a service, an endpoint, or something of this node
	IP        string // of an endpoint
}

// ContainerServiceID returns the service of a container.
func ContainerServiceID(runtime, id string) ServiceID {
	return ServiceID{Kind: ServiceContainer, Runtime: runtime, ID: id}
}

// PodServiceID returns the service of a pod.
func PodServiceID(uid string) ServiceID { return ServiceID{Kind: ServiceKubernetesPod, ID: uid} }

// TaskServiceID returns the service of an ECS task.
func TaskServiceID(id string) ServiceID { return ServiceID{Kind: ServiceECSTask, ID: id} }

// LRPContainerServiceID returns the service of a container of a Cloud Foundry app.
func LRPContainerServiceID(processGUID, service, instanceGUID string) ServiceID {
	return ServiceID{Kind: ServiceLRPContainer, Owner: processGUID, Name: service, ID: instanceGUID}
}

// LRPBoundServiceID returns the service that stands for one bound to a Cloud Foundry app.
func LRPBoundServiceID(appGUID, service string) ServiceID {
	return ServiceID{Kind: ServiceLRPBound, Owner: appGUID, Name: service}
}

// NodeServiceID returns the service of a container runtime or an orchestrator; name is
// without the underscore.
func NodeServiceID(name string) ServiceID { return ServiceID{Kind: ServiceNode, Name: name} }

// KubeEndpointServiceID returns the service of one address of a Kubernetes endpoint.
func KubeEndpointServiceID(namespace, name, ip string) ServiceID {
	return ServiceID{Kind: ServiceKubeEndpoint, Namespace: namespace, Name: name, IP: ip}
}

// KubeServiceID returns the service of a Kubernetes service.
func KubeServiceID(namespace, name string) ServiceID {
	return ServiceID{Kind: ServiceKubeService, Namespace: namespace, Name: name}
}

// SNMPServiceID returns the service of an SNMP device; hash is in hexadecimal.
func SNMPServiceID(hash string) ServiceID { return ServiceID{Kind: ServiceSNMP, ID: hash} }

// String returns the text form; "" for a kind that is not among the constants.
func (s ServiceID) String() string {
	switch s.Kind {
	case ServiceContainer:
		return s.Runtime + separator + s.ID
	case ServiceKubernetesPod:
		return schemePod + separator + s.ID
	case ServiceECSTask:
		return schemeTask + separator + s.ID
	case ServiceLRPContainer:
		return s.Owner + "/" + s.Name + "/" + s.ID
	case ServiceLRPBound:
		return s.Owner + "/" + s.Name
	case ServiceNode:
		return "_" + s.Name
	case ServiceKubeEndpoint:
		return schemeEndpoint + separator + s.Namespace + "/" + s.Name + "/" + s.IP
	case ServiceKubeService:
		return schemeService + separator + s.Namespace + "/" + s.Name
	case ServiceSNMP:
		return s.ID
	}
	return ""
}

// TaggerEntity returns the entity whose tags the service has. It is false for a service
// that has no entity in the tagger: those bring their tags themselves.
func (s ServiceID) TaggerEntity() (EntityID, bool) {
	if s.Kind == ServiceKubeService && s.Namespace != "" && s.Name != "" {
		return NewEntityID(PrefixKubeService, s.Namespace+"/"+s.Name), true
	}
	if s.ID == "" {
		return "", false
	}
	switch s.Kind {
	case ServiceContainer:
		return NewEntityID(PrefixContainer, s.ID), true
	case ServiceKubernetesPod:
		return NewEntityID(PrefixKubernetesPod, s.ID), true
	case ServiceECSTask:
		return NewEntityID(PrefixECSTask, s.ID), true
	}
	return "", false
}

// ParseServiceID reads the text form of a service's ID. Its error names the offending
// part. A tagger's entity ID is no service's ID, except for ecs_task, where both are
// the same.
func ParseServiceID(text string) (ServiceID, error) {
	s, err := parseServiceID(text)
	if err != nil {
		return ServiceID{}, fmt.Errorf("service ID %q: %w", text, err)
	}
	return s, nil
}

func parseServiceID(text string) (ServiceID, error) {
	scheme, rest, ok := strings.Cut(text, separator)
	switch {
	case text == "":
		return ServiceID{}, errors.New("empty")
	case ok:
		return parseServiceURL(scheme, rest)
	}
	if name, ok := strings.CutPrefix(text, "_"); ok {
		if name == "" || strings.Contains(name, "/") {
			return ServiceID{}, errors.New("want _<name>")
		}
		return NodeServiceID(name), nil
	}
	parts := strings.Split(text, "/")
	if slices.Contains(parts, "") {
		return ServiceID{}, errors.New(`empty part between "/"`)
	}
	switch len(parts) {
	case 3:
		return LRPContainerServiceID(parts[0], parts[1], parts[2]), nil
	case 2:
		return LRPBoundServiceID(parts[0], parts[1]), nil
	case 1:
		if strings.Trim(text, "0123456789abcdef") != "" {
			return ServiceID{},
				errors.New(
					"no known form (want <runtime>://<id>, such as docker://3f0c…, _<name>, <guid>/<name>, or a hexadecimal hash)")
		}
		return SNMPServiceID(text), nil
	}
	return ServiceID{},
		fmt.Errorf(
			"%d parts (want <process GUID>/<service>/<instance GUID> or <app GUID>/<service>)",
			len(parts))
}

func parseServiceURL(scheme, rest string) (ServiceID, error) {
	if scheme == "" || strings.ContainsAny(scheme, "/_") && !slices.Contains(prefixes, scheme) &&
		scheme != schemePod && scheme != schemeEndpoint && scheme != schemeService {
		return ServiceID{}, fmt.Errorf("invalid scheme %q", scheme)
	}
	if rest == "" {
		return ServiceID{}, fmt.Errorf("nothing after %q", separator)
	}
	switch scheme {
	case schemePod:
		return PodServiceID(rest), nil
	case schemeTask:
		return TaskServiceID(rest), nil
	case schemeEndpoint:
		parts := strings.Split(rest, "/")
		if len(parts) != 3 || slices.Contains(parts, "") {
			return ServiceID{}, fmt.Errorf("%q is not <namespace>/<name>/<ip>", rest)
		}
		return KubeEndpointServiceID(parts[0], parts[1], parts[2]), nil
	case schemeService:
		parts := strings.Split(rest, "/")
		if len(parts) != 2 || slices.Contains(parts, "") {
			return ServiceID{}, fmt.Errorf("%q is not <namespace>/<name>", rest)
		}
		return KubeServiceID(parts[0], parts[1]), nil
	}
	if slices.Contains(prefixes, scheme) {
		return ServiceID{},
			fmt.Errorf("%q is the prefix of a tagger's entity ID, not a container runtime", scheme)
	}
	return ContainerServiceID(scheme, rest), nil
}
