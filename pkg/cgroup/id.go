package cgroup

import "strings"

// IsContainerID reports whether s as a whole has the syntax of a container ID
// that can be recognised without asking anybody:
//
//   - 64 lower-case hexadecimal digits (OCI runtimes);
//   - 32 of them, a dash and decimal digits (ECS on Fargate);
//   - eight of them and four groups of a dash and four (Garden, Cloud Foundry;
//     the last group of a UUID has twelve, so no pod UID is taken for one).
//
// IDs that people choose (ctr, LXC, Nomad) have no syntax and are not
// recognised.
func IsContainerID(s string) bool { return s != "" && idLen(s) == len(s) }

// ociIDLen, gardenIDLen and taskHexLen are lengths in bytes.
const (
	ociIDLen    = 64
	gardenIDLen = 8 + 4*5
	taskHexLen  = 32
	uuidLen     = 36
)

// idLen returns the length of the container ID at the end of s, or 0. The ID
// must begin s or follow a byte that is neither a letter nor a digit.
func idLen(s string) int {
	n := 0
	switch {
	case isHexSuffix(s, ociIDLen):
		n = ociIDLen
	case isGarden(s):
		n = gardenIDLen
	default:
		n = taskLen(s)
	}
	if n == 0 || n < len(s) && isAlphanumeric(s[len(s)-n-1]) {
		return 0
	}
	return n
}

func isHexSuffix(s string, n int) bool {
	return len(s) >= n && isHex(s[len(s)-n:])
}

func isGarden(s string) bool {
	if len(s) < gardenIDLen {
		return false
	}
	s = s[len(s)-gardenIDLen:]
	for i := range len(s) {
		if dash := i >= 8 && (i-8)%5 == 0; dash != (s[i] == '-') || !dash && !isHexByte(s[i]) {
			return false
		}
	}
	return true
}

// taskLen returns the length of "<32 hex>-<digits>" at the end of s, or 0.
func taskLen(s string) int {
	dash := strings.LastIndexByte(s, '-')
	if dash < taskHexLen || dash == len(s)-1 || !isHex(s[dash-taskHexLen:dash]) {
		return 0
	}
	for i := dash + 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
	}
	return len(s) - dash + taskHexLen
}

// isPodUID accepts a UUID, with its dashes or with the underscores that a
// systemd slice needs instead, and the 32 hexadecimal digits of a static pod.
func isPodUID(s string) bool {
	switch len(s) {
	case taskHexLen:
		return isHex(s)
	case uuidLen:
		for i := range len(s) {
			switch i {
			case 8, 13, 18, 23:
				if s[i] != '-' && s[i] != '_' {
					return false
				}
			default:
				if !isHexByte(s[i]) {
					return false
				}
			}
		}
		return true
	}
	return false
}

func isHex(s string) bool {
	for i := range len(s) {
		if !isHexByte(s[i]) {
			return false
		}
	}
	return true
}

func isHexByte(b byte) bool { return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' }

func isAlphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
