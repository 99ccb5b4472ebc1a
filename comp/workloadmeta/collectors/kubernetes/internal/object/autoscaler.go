package object

// HorizontalPodAutoscaler changes how many pods its target has (autoscaling/v2).
type HorizontalPodAutoscaler struct {
	Meta `json:"metadata" pb:"1"`
	Spec struct {
		Target ScaleTarget `json:"scaleTargetRef" pb:"1"`
	} `json:"spec" pb:"2"`
}

// VerticalPodAutoscaler changes how much its target's pods may use (autoscaling.k8s.io/v1). It is a
// custom resource, which has no encoding but JSON.
type VerticalPodAutoscaler struct {
	Meta `json:"metadata" pb:"1"`
	Spec struct {
		Target *ScaleTarget `json:"targetRef" pb:"1"`
	} `json:"spec" pb:"2"`
}

// ScaleTarget names what is scaled, in the namespace of its autoscaler.
type ScaleTarget struct {
	Kind       string `json:"kind" pb:"1,shared"`
	Name       string `json:"name" pb:"2"`
	APIVersion string `json:"apiVersion" pb:"3,shared"`
}
