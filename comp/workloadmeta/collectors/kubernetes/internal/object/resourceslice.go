package object

// ResourceSlice is a part of what a driver of dynamic resource allocation has (resource.k8s.io/v1).
type ResourceSlice struct {
	Meta `json:"metadata" pb:"1"`
	Spec struct {
		Driver  string       `json:"driver" pb:"1,shared"`
		Pool    ResourcePool `json:"pool" pb:"2"`
		Devices []Device     `json:"devices" pb:"6"`
	} `json:"spec" pb:"2"`
}

// ResourcePool is what a slice is a part of.
type ResourcePool struct {
	Name string `json:"name" pb:"1,shared"`
	// Generation is a greater one whenever anything of the pool has changed.
	Generation         int64 `json:"generation" pb:"2"`
	ResourceSliceCount int64 `json:"resourceSliceCount" pb:"3"` // of this generation
}

// Device is one device of a pool.
type Device struct {
	Name       string                     `json:"name" pb:"1"`
	Attributes map[string]DeviceAttribute `json:"attributes" pb:"2"`
}

// DeviceAttribute is a fact about a device. Numbers and flags are left out.
type DeviceAttribute struct {
	String  string `json:"string" pb:"4,shared"`
	Version string `json:"version" pb:"5,shared"`
}
