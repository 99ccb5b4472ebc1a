package object

// Service is a name for pods and addresses (core/v1).
type Service struct {
	Meta `json:"metadata" pb:"1"`
	Spec ServiceSpec `json:"spec" pb:"2"`
}

// ServiceSpec is what is wanted of a service.
type ServiceSpec struct {
	Selector   map[string]string `json:"selector" pb:"2"`
	Type       string            `json:"type" pb:"4,shared"`
	ClusterIPs []string          `json:"clusterIPs" pb:"18"`
}

// EndpointSlice has some of the addresses behind a service (discovery/v1). The service's name is in
// the label [LabelServiceName].
type EndpointSlice struct {
	Meta      `json:"metadata" pb:"1"`
	Endpoints []Endpoint `json:"endpoints" pb:"2"`
}

// LabelServiceName is the label of an [EndpointSlice] with the name of its service.
const LabelServiceName = "kubernetes.io/service-name"

// Endpoint is something behind a service: a pod, or an address.
type Endpoint struct {
	Conditions EndpointConditions `json:"conditions" pb:"2"`
	TargetRef  *Reference         `json:"targetRef" pb:"4"`
	NodeName   string             `json:"nodeName" pb:"6,shared"`
}

// EndpointConditions say what an endpoint may be used for.
type EndpointConditions struct {
	Ready   *bool `json:"ready" pb:"1"`   // nil: true
	Serving *bool `json:"serving" pb:"2"` // ready, or still so while it terminates; nil: as Ready
}

// Reference names an object.
type Reference struct {
	Kind      string `json:"kind" pb:"1,shared"`
	Namespace string `json:"namespace" pb:"2,shared"`
	Name      string `json:"name" pb:"3"`
	UID       string `json:"uid" pb:"4"`
}
