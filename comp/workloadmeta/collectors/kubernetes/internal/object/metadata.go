package object

// Metadata is any object of which only what every object has is read (meta/v1
// PartialObjectMetadata).
type Metadata struct {
	Meta `json:"metadata" pb:"1"`
}

// Identity is any object of which only is read which one it is, because the rest of it cannot be.
type Identity struct {
	Meta struct {
		Name            string `json:"name" pb:"1"`
		Namespace       string `json:"namespace" pb:"3"`
		UID             string `json:"uid" pb:"5"`
		ResourceVersion string `json:"resourceVersion" pb:"6"`
	} `json:"metadata" pb:"1"`
}

// ListMeta says of a list as of when it is, and how to go on if it is not all.
type ListMeta struct {
	ResourceVersion string `json:"resourceVersion" pb:"2"`
	Continue        string `json:"continue" pb:"3"`
}

// Status is an answer that is no object: mostly that something cannot be had (meta/v1).
type Status struct {
	Message string        `json:"message" pb:"3"`
	Reason  string        `json:"reason" pb:"4"`
	Details StatusDetails `json:"details" pb:"5"`
	Code    int32         `json:"code" pb:"6"` // of HTTP
}

// StatusDetails say more for programs.
type StatusDetails struct {
	Causes            []StatusCause `json:"causes" pb:"4"`
	RetryAfterSeconds int32         `json:"retryAfterSeconds" pb:"5"`
}

// StatusCause is one cause of a failure.
type StatusCause struct {
	Reason string `json:"reason" pb:"1"`
}
