package image

import "regexp"

// PausePattern is a regular expression that matches, anywhere in an image's name without tag
// and digest, what names the image of a pod sandbox, whatever registry it comes from. The
// last element of the name must be "pause" or "mirrored-pause", alone or followed by
// "-<architecture>" or by "-win…"; a few sandbox images with other names are known too. It
// is the only list of them.
const PausePattern = `(^|/)(kubernetes/pause|amazon/amazon-ecs-pause|aws-fargate-pause|openshift/origin-pod|rhel7/pod-infrastructure|` +
	`(mirrored-)?pause(-(win[^/:@]*|(linux-)?(386|amd64|arm|arm64|armv6|armv7|arm32v6|arm32v7|arm64v8|loong64|mips64le|ppc64le|riscv64|s390x|x86_64|aarch64)))?)$`

var pause = regexp.MustCompile(PausePattern)

// IsPause reports whether an image reference names the image of a pod sandbox. An image
// that merely begins so ("pause-button") is not one, nor is a bare digest.
//
// It is the test of last resort: labels and the runtime's own word on what is
// a sandbox come first.
func IsPause(name string) bool {
	r, err := Split(name)
	return err == nil && pause.MatchString(r.Name)
}

// ECSInternal begins the names of the containers that ECS runs for itself in a task, such as
// "~internal~ecs~pause".
const ECSInternal = "~internal~ecs~"
