// Package realnode starts real containerd and dockerd daemons, Podman services and nodes of
// Kubernetes for tests.
//
// Each instance lives in a short temporary folder of its own: sockets, state, images, logs and
// the command-line client's configuration. Nothing in it reads or touches a daemon that the user
// has, and several instances run side by side.
//
// What a test may rely on:
//
//   - A Start function returns when the daemon answers requests. If it does not within a minute, or
//     exits, the error carries the end of the daemon's log.
//   - Kill, Stop, Freeze, Thaw and Restart act on that one daemon, by process id, and return when
//     the effect is there: a killed process has been waited for, a restarted one answers.
//   - Close (which the Start functions register as cleanup) ends the daemons, the containers and
//     their shims, removes mounts, shim sockets and control groups, and then the folder. Whatever
//     it could not end is an error that names it.
//   - The daemons die with the test process, also when that is killed. What their containers
//     leave behind then is removed by the next test process that starts an instance.
//
// The daemons need Linux, root, and Debian's docker.io, containerd, podman, runc and busybox-static
// (or the same programs from elsewhere: those in the folder that ROLLCALL_REALNODE_PROGRAMS names
// come first). Those of Kubernetes are built: see [Kube]. Where daemons differ by version, a test
// asks, as with [Containerd].Version. Tests call [Require] first, or use [Shared], which does:
//
//	var node realnode.Shared
//
//	func TestMain(m *testing.M) { os.Exit(node.Around(m).Run()) }
//
//	func TestLabels(t *testing.T) {
//		docker := node.Dockerd(t)
//		docker.ImportImage("web:1", "LABEL team=blue")
//		id := docker.Run("web:1", "sleep", "1000")
//		…
//	}
//
// There is no registry: images hold busybox and are made on the spot by ImportImage. There is no
// network either: Docker's and Podman's containers run with --network none, and pods need the
// host's network.
package realnode
